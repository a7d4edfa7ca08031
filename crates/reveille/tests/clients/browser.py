"""The JavaScript module in a real Chromium, before a real push server.

Arguments: the port of the page, the public API, the private API, the sandbox's control port, the browser, a folder for its data, the folder of the module,
and `proof` where devices have to show that they have their token. What the server sends crosses the sandbox encrypted for keys that WebCrypto made in the
page, is decrypted here by http-ece, and given to the service worker by the browser as a push of its own.
"""
import base64, email.utils, http.server, json, pathlib, sys, threading, time, urllib.request

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent))
from chromium import Chromium  # noqa: E402

port, public, intake, control, browser, data, module, *rest = sys.argv[1:]
has_proof = rest == ["proof"]
demo = here.parent.parent / "src/demo/web"
FILES = {
    **{f"/reveille/{name}": pathlib.Path(module) / name for name in ("reveille.js", "worker.js", "kept.js")},
    **{f"/{name}": demo / name for name in ("sandbox.js", "keys.js")},
    **{f"/{name}": here / name for name in ("page.js", "worker.js")},
}
PAGE = b'<!doctype html><title>A site</title><link rel="icon" href="data:,"><script type="module" src="page.js"></script>'


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return urllib.request.urlopen(request).read()


class Site(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, kind, body):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    busy, subscriptions = 1, 0

    def do_GET(self):
        if self.path == "/busy/v1/preferences":
            return self.busy_once()
        file = FILES.get(self.path.partition("?")[0])
        self.answer("text/javascript", file.read_bytes()) if file else self.answer("text/html", PAGE)

    def busy_once(self):
        """A server that says when to come again by the clock, as proxies do. Reveille says it in seconds."""
        if not Site.busy:
            return self.answer("application/json", b'{"types": {}}')
        Site.busy = 0
        self.send_response(503)
        self.send_header("Retry-After", email.utils.formatdate(time.time() + 4, usegmt=True))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Site.subscriptions += 1
        self.answer("application/json", post(f"{control}/subscriptions", body))

    def log_message(self, *_):
        pass


def from_base64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def ok(what):
    print("ok", what, flush=True)


threading.Thread(target=http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Site).serve_forever, daemon=True).start()
origin = f"http://127.0.0.1:{port}"

with Chromium(browser, data) as chromium:
    session, registration = chromium.open(f"{origin}/?url={public}")

    def page(script):
        return chromium.evaluate(session, script)

    page("""new Promise((resolve) => {
        const look = () => document.body.dataset.ready && resolve();
        new MutationObserver(look).observe(document.body, {attributes: true});
        look();
    })""")
    targets = chromium.call("Target.getTargets")["targetInfos"]
    target = next(each["targetId"] for each in targets if each["type"] == "service_worker" and each["url"].startswith(origin))
    inside = chromium.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    given = 0

    def worker(script):
        return chromium.evaluate(inside, script)

    def arrives():
        """Waits for the next push."""
        urllib.request.urlopen(f"{control}/stats?provider=webpush&received_min={given + 1}&wait_s=60").read()

    def deliver(of=page, pushes="pushes"):
        """Gives the next push that arrives at the sandbox to the service worker, as it is."""
        global given
        arrives()
        given += 1
        received = urllib.request.urlopen(f"{control}/received?provider=webpush").read().decode().splitlines()
        push = json.loads(received[given - 1])
        assert push["token"] == of(f"{pushes}.token"), "it is for another subscription"
        keys = of(f"{pushes}.keys")
        private = ec.derive_private_key(int.from_bytes(from_base64url(keys["private_key"]), "big"), ec.SECP256R1())
        plain = http_ece.decrypt(from_base64url(push["encrypted"]), private_key=private, auth_secret=from_base64url(keys["auth"]), version="aes128gcm")
        chromium.call("ServiceWorker.deliverPushMessage", session, origin=origin, registrationId=registration, data=plain.decode())
        return json.loads(plain.rstrip(b"\0"))

    shown_before = 0

    def shown():
        """The one notification that a push shows."""
        global shown_before
        shown_before += 1
        return page(f"told('shown', {shown_before})")

    def prove(of=page, pushes="pushes"):
        """Where proof is asked for, the worker gives it."""
        if has_proof:
            assert deliver(of, pushes)["type"] == "verifyV1"
            assert shown()["body"] == "Notifications are on."
            assert page("client.current()")["verified"] is True

    # Subscribing.
    assert page("client.refresh()") is None and page("client.current()") is None, "nobody has asked for it"
    foreign = "({permissionState: async () => 'granted', getSubscription: async () => ({options: {applicationServerKey: new Uint8Array(65).buffer}})})"
    assert page(f"new Reveille({{...settings, pushes: () => {foreign}}}).refresh()") is None, "what another push service has is not taken from it"
    user = page("client.user()")
    first, other = page("Promise.all([client.subscribe(), new Reveille(settings).subscribe()])")
    assert first["id"] == other["id"] and Site.subscriptions == 1 and len(page("client.subscriptions()")) == (not has_proof), "two pages at once"
    assert first["provider"] == "webpush" and first["verified"] is not has_proof, first
    prove()
    assert page("client.current()")["id"] == first["id"]
    ok("it subscribes")
    again = page("Promise.all([client.refresh(), new Reveille(settings).refresh(), client.subscribe()])")
    assert {each["id"] for each in again} == {first["id"]}, again
    assert len(page("client.subscriptions()")) == 1
    ok("at each visit it is the same device, from several pages at once too")

    # What is new.
    note = {"users": [user], "type": "mention", "content": {"title": "A mention", "text": "Woken by a real push", "url": "/talk"}}
    post(f"{intake}/v1/notifications", note)
    assert deliver() == {"type": "checkEchoV1"}
    heard = page("told('reveille', 1)")
    assert heard["message"] == {"type": "checkEchoV1"} and heard["page"]["bytes"] == 16_384, heard
    item = heard["page"]["items"][0]
    assert item["content"] == note["content"] and not item["read"]
    shown()
    mention = {"title": "A mention", "body": "Woken by a real push", "tag": item["id"], "data": {"id": item["id"], "url": "/talk"}, "silent": False}
    assert mention in page("notifications()"), page("notifications()")
    ok("a push wakes the service worker, which fetches the inbox, tells the page and shows what is new")

    # A click, as the browser would report it: only a person's click may open a window, so that is taken down instead.
    clicked = worker("""(async () => {
        let opened, work;
        Object.defineProperty(clients, "openWindow", {value: async (url) => { opened = url; }, configurable: true});
        const notification = (await registration.getNotifications()).find((each) => each.title === "A mention");
        dispatchEvent(Object.assign(new Event("notificationclick"), {notification, waitUntil: (each) => { work = each; }}));
        await work;
        const foreign = {data: {url: "https://elsewhere.example/"}, close() {}};
        const first = opened;
        dispatchEvent(Object.assign(new Event("notificationclick"), {notification: foreign, waitUntil: (each) => { work = each; }}));
        await work;
        return [first, opened];
    })()""")
    assert clicked == [f"{origin}/talk", f"{origin}/"], clicked
    assert page("client.inbox()")["items"][0]["read"] is True
    assert page("notifications()") == [], "neither the one that was clicked nor what was shown for want of news"
    ok("a click opens its page and no other site's, and marks it as read")

    # Nothing is new: a push for what has no content.
    post(f"{intake}/v1/notifications", {"users": [user], "type": "mention"})
    deliver()
    assert shown() == {"title": "Our site", "body": "All read.", "tag": "reveille", "silent": True}
    ok("where nothing is new something quiet is shown, as browsers demand")
    note["content"] = "Only words"
    post(f"{intake}/v1/notifications", note)
    deliver()
    text = shown()
    assert (text["title"], text["body"]) == ("Our site", "Only words"), text
    post(f"{intake}/v1/notifications", {"users": [user], "type": "mention"})
    deliver()
    assert shown()["body"] == "All read.", "it was shown before"
    for content, body in [("Of no interest", "All read."), ("Nobody can make sense of this", "Nobody can make sense of this")]:
        note["content"] = content
        post(f"{intake}/v1/notifications", note)
        deliver()
        assert shown()["body"] == body
    note["content"] = worker("self.refused = 'Shown the second time'")
    post(f"{intake}/v1/notifications", note)
    deliver()
    assert shown()["body"] == "Something happened."
    worker("self.refused = undefined")
    post(f"{intake}/v1/notifications", {"users": [user], "type": "mention"})
    deliver()
    assert shown()["body"] == note["content"], "it was not shown before"
    note["content"] = "Read on another device"
    post(f"{intake}/v1/notifications", note)
    arrives()
    page("client.read('all')")
    deliver()
    assert shown()["body"] == "All read."
    assert all(each["read"] for each in page("client.inbox({limit: 50})")["items"])
    assert page("client.inbox({limit: 1})")["next"] is not None
    ok("content may be a text; what was shown before, or read elsewhere, is not shown")

    # What wakes me.
    assert page("client.setPreferences({thanks: false, mention: true})") == {"thanks": False, "mention": True}
    assert page("client.preferences()") == {"thanks": False, "mention": True}
    ok("preferences are kept")

    # Another endpoint, as when the browser's push service gives a new one.
    page("pushes.getSubscription().then((each) => each.unsubscribe())")
    moved = page("client.refresh()")
    assert (moved["id"] != first["id"]) is has_proof, "in its place, or anew where it has to be proven"
    prove()
    assert [each["id"] for each in page("client.subscriptions()")] == [moved["id"]], "the old one is gone"
    ok("a new endpoint takes the place of the one before")

    # Another key of the server: the subscription was made with one that is not its own any more.
    page("""pushes.getSubscription().then((each) => { each.options.applicationServerKey = new Uint8Array(65).buffer; })""")
    token = page("pushes.token")
    rekeyed = page("client.refresh()")
    assert page("pushes.token") != token, "it subscribed anew"
    prove()
    assert [each["id"] for each in page("client.subscriptions()")] == [rekeyed["id"]]
    ok("where the server's key has changed it subscribes anew")

    # The browser says so itself, to the service worker.
    worker("""(async () => {
        let work;
        dispatchEvent(Object.assign(new Event("pushsubscriptionchange"), {waitUntil: (each) => { work = each; }}));
        await work;
    })()""")
    prove(worker)
    renewed = page("client.current()")
    assert [each["id"] for each in page("client.subscriptions()")] == [renewed["id"]]
    assert worker("pushes.token") not in (None, page("pushes.token"))
    post(f"{intake}/v1/notifications", {"users": [user], "type": "mention", "content": "After the change"})
    deliver(worker)
    assert shown()["body"] == "After the change"
    ok("pushsubscriptionchange registers anew, and the new one is woken")

    # Nothing can be looked up: the worker's server is away, and something is shown all the same.
    chromium.call("Network.enable", inside)
    chromium.call("Network.emulateNetworkConditions", inside, offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    chromium.call("ServiceWorker.deliverPushMessage", session, origin=origin, registrationId=registration, data='{"type":"checkEchoV1"}')
    assert shown()["body"] == "Something happened."
    chromium.call("Network.emulateNetworkConditions", inside, offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    ok("where nothing can be looked up the push is shown all the same")

    # Errors.
    def failure(settings, call):
        return page(f"failure(new Reveille({{...settings, {settings}}}).{call})")

    unknown = failure("headers: {authorization: 'Bearer of-nobody'}", "inbox()")
    assert (unknown["isTyped"], unknown["status"], unknown["type"]) == (True, 401, "urn:reveille:problem:unauthorized"), unknown
    assert unknown["detail"] == "log in, and send what proves it" and unknown["message"].startswith("401 Who is calling"), unknown
    bad = page("failure(client.setPreferences({'not a type': true}))")
    assert (bad["status"], bad["type"]) == (400, "urn:reveille:problem:invalid-body"), bad
    late = failure("requestTimeMs: 0", "preferences()")
    assert (late["isTyped"], late["status"], late["type"]) == (True, 0, "urn:reveille:client:timeout"), late
    gone = failure("headers: {}, url: 'http://127.0.0.1:1'", "preferences()")
    assert (gone["isTyped"], gone["status"], gone["type"]) == (True, 0, "urn:reveille:client:unreachable"), gone
    odd = failure("headers: {}, url: location.origin", "preferences()")
    assert odd["type"] == "urn:reveille:client:odd-answer", odd
    stuck = failure("subscribeTimeMs: 1, pushes: () => ({getSubscription: () => new Promise(() => {}), permissionState: async () => 'granted'})", "subscribe()")
    assert stuck["type"] == "urn:reveille:client:timeout", stuck
    denied = failure("pushes: () => ({permissionState: async () => 'denied'})", "subscribe()")
    assert (denied["type"], denied["status"]) == ("urn:reveille:client:permission", 0), denied
    unanswered = failure("pushes: () => ({permissionState: async () => 'prompt'})", "subscribe()")
    assert (unanswered["type"], unanswered["status"]) == ("urn:reveille:client:permission", 0), unanswered
    vendor = failure("pushes: undefined, subscribeTimeMs: 5_000", "subscribe()")
    assert vendor["type"] in ("urn:reveille:client:push-service", "urn:reveille:client:timeout"), vendor
    ok("each kind of trouble is told apart")

    # Going, also where the browser does not want to.
    unwilling = failure("pushes: () => ({getSubscription: async () => { throw new Error('not now'); }})", "unsubscribe()")
    assert (unwilling["type"], unwilling["detail"]) == ("urn:reveille:client:push-service", "not now"), unwilling
    assert page("client.subscriptions()") == [], "the server knows all the same"
    page("client.unsubscribe()")
    assert page("client.subscriptions()") == [] and page("client.current()") is None and page("client.refresh()") is None
    ok("it unsubscribes")

    # More requests than the server takes of one user. It says when to come again.
    refused, waited_ms = page("""(async () => {
        const impatient = new Reveille({...settings, waitMsMax: 0});
        const refusal = async () => {
            for (let count = 0; count < 1_000; count += 1) {
                const told = await failure(impatient.preferences());
                if (told.status) { return told; }
            }
        };
        // Where a busy machine takes so long that there is room again, another time.
        for (let tries = 0; tries < 10; tries += 1) {
            const [refused, from] = [await refusal(), performance.now()];
            await client.preferences();
            if (performance.now() - from >= 1_000) { return [refused, performance.now() - from]; }
        }
    })()""")
    assert (refused["status"], refused["type"]) == (429, "urn:reveille:problem:too-many-requests") and refused["retryAfterS"] >= 1, refused
    longer_ms = page("""(async () => {
        const from = performance.now();
        await new Reveille({...settings, url: `${location.origin}/busy`, headers: {}}).preferences();
        return performance.now() - from;
    })()""")
    # The clock of headers has whole seconds, and nothing was said of fewer.
    assert longer_ms >= 2_500, longer_ms
    ok(f"it waits when it is asked to: {waited_ms:.0f} and {longer_ms:.0f} ms")
    before = page("client.user()")
    page("client.forget()")
    assert page("client.user()") != before
    # A server with another store: what it gave is nobody's.
    page("""(async () => {
        const cache = await caches.open("reveille");
        const [request] = (await cache.keys()).filter((each) => each.url.includes("/user?"));
        await cache.put(request, new Response(JSON.stringify({user: "anonymous:of-another-store", token: "of-another-store"})));
    })()""")
    assert page("client.user()") == "anonymous:of-another-store"
    assert page("client.subscriptions()") == [] and page("client.user()") not in (before, "anonymous:of-another-store")
    ok("an anonymous user can be forgotten, and is where the server does not know them")
