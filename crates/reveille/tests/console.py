"""Walks a real Chromium through the operators' console.

Arguments: the private API, the sandbox's control port, a file with the operator's token, axe-core's script, the browser, a folder for its data,
a folder for pictures.
"""
import base64, json, os, sys, urllib.request

from chromium import Chromium

api, control, token_file, axe_file, browser, data, pictures = sys.argv[1:]
token = open(token_file).read().strip()
axe = open(axe_file).read()
PAGES = ["overview", "providers", "privacy", "subscriptions", "feedback", "configuration"]
os.makedirs(pictures, exist_ok=True)


class Page:
    """One page of a browser, as somebody sees it who looks, types and presses keys."""

    def __init__(self, browser):
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.complaints = []
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def evaluate(self, script):
        return self.browser.evaluate(self.session, script)

    def appears(self, what, seconds=45):
        """Waits until an expression is true of the document; the browser says when, nobody asks again and again."""
        return self.evaluate("""new Promise((resolve, reject) => {
            const look = () => { const found = %s; if (found) { watching.disconnect(); resolve(found); } };
            const watching = new MutationObserver(look);
            watching.observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
            setTimeout(() => reject(new Error(document.body.innerText)), %d);
            look();
        })""" % (what, seconds * 1000))

    def leaves(self, act):
        """Does something that leads to another page, and waits for that."""
        entries = (event["params"]["entry"] for event in self.browser.events if event.get("method") == "Log.entryAdded")
        self.complaints += [entry for entry in entries if entry["level"] == "error"]
        self.browser.events.clear()
        act()
        self.browser.wait_for("Page.loadEventFired", lambda params: True)

    def go(self, url):
        self.leaves(lambda: self.call("Page.navigate", url=url))

    def submit(self, element):
        """Sends the form of an element."""
        self.leaves(lambda: self.evaluate(f"({element}).form.requestSubmit(); true"))

    def press(self, key):
        code, text = {"Tab": (9, ""), "Enter": (13, "\r")}[key]
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, text=text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def shows(self, width, dark=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def picture(self, name):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 4000), "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        with open(f"{pictures}/{name}.png", "wb") as file:
            file.write(base64.b64decode(shot["data"]))


def post(path, body):
    request = urllib.request.Request(f"{api}{path}", json.dumps(body).encode(), {"content-type": "application/json"})
    return json.loads(urllib.request.urlopen(request).read())




def accessible(page, where):
    """Nothing serious stands, as axe-core judges (the script is evaluated by the debugger: the page's policy would not load it)."""
    page.evaluate(axe + "; true")
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(result => result.violations.map(each => [each.id, each.impact, each.nodes.map(node => node.html + ' ' + (node.any[0] || {}).message)]))")
    serious = [each for each in found if each[1] in ("serious", "critical")]
    assert not serious, (where, serious)


def fits(page, where):
    """No page is wider than its window."""
    width = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1], (where, width)


with Chromium(browser, data) as chromium:
    page = Page(chromium)
    evaluate, appears = page.evaluate, page.appears
    # Whoever is not logged in sees the login, wherever they go.
    page.shows(1200)
    page.go(f"{api}/console/providers")
    assert evaluate("location.pathname") == "/console/login"
    accessible(page, "login")
    evaluate("document.getElementById('token').value = 'not-the-operators-token'")
    page.submit("document.getElementById('token')")
    assert "no operator's token" in evaluate("document.getElementById('complaint').textContent")
    accessible(page, "login refused")
    # By keyboard: the field has the focus.
    assert evaluate("document.activeElement.id") == "token"
    page.call("Input.insertText", text=token)
    page.leaves(lambda: page.press("Enter"))
    assert evaluate("location.pathname") == "/console", evaluate("document.body.innerText")
    cookie = page.call("Network.getCookies", urls=[f"{api}/console"])["cookies"][0]
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and cookie["path"] == "/console", cookie
    assert token not in json.dumps(cookie)
    print("ok an operator logs in")

    # The skip link is the first stop.
    page.press("Tab")
    assert evaluate("document.activeElement.className") == "skip"
    appears("document.getElementById('live').textContent === 'Live'")
    print("ok the page is live")

    # What happens shows without a reload: accepted, gathering, left.
    marked = evaluate("window.marked = Math.random()")
    before = evaluate("document.querySelector('#outbox tbody td').textContent")
    # A window that has just begun: there is time to see it gather.
    appears("document.querySelector('#window').textContent.match(/ends in [45] s/)")
    sent = post("/v1/notifications", {"users": ["alice"], "type": "mention"})
    appears("document.querySelector('#window').textContent.match(/[1-9][0-9]* wake-ups? gathers? on this node/)")
    appears("document.querySelector('#window').textContent.includes('The last batch that left')")
    appears(f"document.querySelector('#outbox tbody td').textContent !== {json.dumps(before)}")
    assert evaluate("window.marked") == marked, "the page was loaded anew"
    print("ok what is accepted gathers, and leaves, before one's eyes")

    # Held, nothing moves.
    evaluate("document.getElementById('hold').click()")
    assert evaluate("document.getElementById('hold').getAttribute('aria-pressed')") == "true"
    assert evaluate("document.getElementById('live').textContent") == "Held"
    evaluate("document.getElementById('hold').click()")
    appears("document.getElementById('live').textContent === 'Live'")
    print("ok updates can be held")

    # Each page: reads well, and fits a phone, light and dark.
    for name in PAGES:
        for width, dark in [(1200, False), (360, False), (360, True), (1200, True)]:
            page.shows(width, dark)
            page.go(f"{api}/console/{name}")
            if name != "configuration":
                appears("document.getElementById('live').textContent === 'Live'")
            where = f"{name} {width} {'dark' if dark else 'light'}"
            fits(page, where)
            accessible(page, where)
            shade = evaluate("getComputedStyle(document.body).backgroundColor")
            assert (shade == "rgb(22, 24, 28)") == dark, (where, shade)
            page.picture(f"{name}-{width}-{'dark' if dark else 'light'}")
    print("ok every page is accessible and fits a phone, light and dark")

    # A device that comes is counted before one's eyes.
    page.shows(1200)
    page.go(f"{api}/console/subscriptions")
    assert "+1" not in evaluate("document.getElementById('counts').textContent")
    post("/v1/users/zoe/subscriptions", {"provider": "fcm", "token": "phone-of-zoe"})
    appears("document.getElementById('counts').textContent.includes('+1')")
    appears("document.getElementById('growth').textContent.includes('1 / 1')")
    print("ok a device that comes is counted")

    # Looking a user up, and a notification.
    evaluate("document.getElementById('user').value = 'alice'")
    page.submit("document.getElementById('user')")
    found = evaluate("document.getElementById('found').innerText")
    assert "3 devices" in found and "fcm.default" in found and "alice" not in evaluate("location.href"), found
    assert "accepted" in found, found
    for secret in ["phone-of-alice", "browser-of-alice", "0" * 60]:
        assert secret not in evaluate("document.documentElement.outerHTML"), secret
    assert evaluate("document.activeElement.id") == "found"
    accessible(page, "a user's devices")
    page.picture("look-up")
    evaluate(f"document.getElementById('notification').value = {json.dumps(sent['id'])}")
    page.submit("document.getElementById('notification')")
    found = evaluate("document.getElementById('found').innerText")
    assert "cohort" in found and "whose window has left" in found, found
    evaluate("document.getElementById('notification').value = 'nonsense'")
    page.submit("document.getElementById('notification')")
    assert "no id of a notification" in evaluate("document.getElementById('found').innerText")
    print("ok a user and a notification are looked up, and no token is shown")

    # Pausing a provider, by keyboard; another operator sees it.
    page.go(f"{api}/console/providers")
    evaluate("[...document.querySelectorAll('button')].find(each => each.textContent === 'Pause fcm').focus()")
    page.leaves(lambda: page.press("Enter"))
    appears("document.getElementById('halted').textContent.includes('Paused by an operator: fcm')")
    assert json.loads(urllib.request.urlopen(f"{api}/v1/pause").read()) == {"paused": ["fcm"]}
    page.go(f"{api}/console")
    assert "paused delivery at fcm" in evaluate("document.getElementById('attention').textContent")
    post("/v1/resume", {})
    appears("!document.getElementById('attention').textContent.includes('paused delivery')")
    print("ok a provider is paused and resumed")

    # Without scripts everything is there all the same.
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.go(f"{api}/console")
    page.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "Everything ever accepted" in evaluate("document.body.innerText")
    print("ok it is of use without a script")

    # Nothing came from elsewhere, and nothing was refused by the page's own policy.
    page.submit("document.querySelector('header button')")
    refused = [entry for entry in page.complaints if "403" not in entry["text"]]
    assert not refused, refused
    assert evaluate("location.pathname") == "/console/login"
    page.go(f"{api}/console")
    assert evaluate("location.pathname") == "/console/login"
    print("ok an operator logs out")
