"""Drives a real Chromium through the page of `reveille dev`, over the DevTools protocol.

Arguments: the page, the sandbox's control port, the browser, a folder for its data, where to put the screenshot.
What the page's service worker is given was sent by Reveille to the sandbox, encrypted for keys that WebCrypto made in the page, and is
decrypted here by http-ece.
"""
import base64, json, sys, urllib.request

import http_ece
from chromium import Chromium
from cryptography.hazmat.primitives.asymmetric import ec

page_url, control, browser, data, picture = sys.argv[1:]


def from_base64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


with Chromium(browser, data) as chromium:
    session, registration = chromium.open(page_url)

    def evaluate(script):
        return chromium.evaluate(session, script)

    def appears(what):
        """Waits until an expression is true of the document; the browser says when, nobody asks again and again."""
        return evaluate("""new Promise((resolve, reject) => {
            const look = () => { const found = %s; if (found) { watching.disconnect(); resolve(found); } };
            const watching = new MutationObserver(look);
            watching.observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
            setTimeout(() => reject(new Error(document.body.innerText)), 45000);
            look();
        })""" % what)

    appears("document.body?.dataset.ready")
    print("ok the service worker is registered")

    # No vendor's push service can be reached from a test: the page says so and offers the sandbox.
    evaluate("document.getElementById('subscribe').click()")
    trouble = appears("!document.getElementById('unreachable').hidden && document.getElementById('unreachable').textContent")
    assert "Use the sandbox" in trouble, trouble
    print("ok the page says that the push service cannot be reached:", trouble)
    evaluate("document.getElementById('hand').checked = false")
    evaluate("document.getElementById('sandbox').click()")
    appears("document.getElementById('subscribed').textContent.includes('the sandbox')")
    keys = evaluate("reveille.sandbox.keys")
    token = evaluate("reveille.sandbox.token")

    evaluate("document.getElementById('text').value = 'Woken by a real push'")
    evaluate("document.querySelector('#send button').click()")
    appears("document.getElementById('sent').textContent.startsWith('Accepted')")
    appears("document.querySelectorAll('#seen tr').length > 0")
    print("ok the push arrived at the sandbox")

    received = urllib.request.urlopen(f"{control}/received?provider=webpush").read().decode().splitlines()
    push = next(each for each in map(json.loads, received) if each["token"] == token)
    body = from_base64url(push["encrypted"])
    private = ec.derive_private_key(int.from_bytes(from_base64url(keys["private_key"]), "big"), ec.SECP256R1())
    plain = http_ece.decrypt(body, private_key=private, auth_secret=from_base64url(keys["auth"]), version="aes128gcm")
    told = plain.rstrip(b"\0").decode()
    assert json.loads(told) == {"type": "checkEchoV1"}, told
    assert b"Woken" not in body and b"Woken" not in plain
    print("ok http-ece decrypts it with the page's keys:", told)

    assert evaluate("document.querySelectorAll('#inbox li').length") == 0, "nothing is shown before the worker wakes"
    chromium.call("ServiceWorker.deliverPushMessage", session, origin=page_url.rstrip("/"), registrationId=registration, data=plain.decode())
    shown = appears("document.querySelector('#inbox li.unread')?.textContent")
    assert "Woken by a real push" in shown, shown
    print("ok the service worker fetched the inbox and the page shows it:", shown)
    with open(picture, "wb") as file:
        file.write(base64.b64decode(chromium.call("Page.captureScreenshot", session)["data"]))

    news = appears("[...document.querySelectorAll('#seen tr')].find(row => row.textContent.includes('1 new'))?.lastChild.textContent")
    evaluate("document.getElementById('read').click()")
    none = appears("[...document.querySelectorAll('#seen tr')].find(row => row.textContent.includes('nothing new'))?.lastChild.textContent")
    assert news == none, f"with news {news} bytes, without {none}"
    appears("document.querySelector('#inbox li.read')")
    print("ok a fetch with news is as long as one without:", news, "bytes")
