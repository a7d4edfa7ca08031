"""Every call of the Python client, and every kind of trouble.

Arguments: the folder of the client, the private API, its token, the same behind a network that loses the first answer and breaks off the second, the session store, the sandbox's
control port, a server with TLS, the authority it is of.
"""
import sys, urllib.request

folder, push_url, token, lossy_url, sessions_url, control, tls_url, ca_file = sys.argv[1:]
sys.path.insert(0, folder)
from reveille import Reveille, ReveilleError, Sessions  # noqa: E402

push = Reveille(push_url, token)
accepted = []


def ok(what):
    print("ok", what, flush=True)


def failure(work):
    try:
        work()
    except ReveilleError as error:
        return error
    sys.exit("nothing was refused")


def second():
    urllib.request.urlopen(f"{control}/stats?received_min=1000000&wait_s=1").read()


def settle():
    """Waits until all that was accepted has left."""
    for id in accepted:
        for _ in range(60):
            if push.trail(id)["state"] == "settled":
                break
            second()
        else:
            sys.exit("it never leaves")


accepted.append(push.notify(["alice", "böb/by"], "mention", content={"text": "ä"}, ttl_s=60))
settle()
trail = push.trail(accepted[0])
assert trail["wakeups"]["sent"] == 2, trail
ok("a notification is accepted, and has a trail")

devices = push.subscriptions("böb/by")
assert len(devices) == 1 and devices[0]["provider"] == "fcm" and "token" not in devices[0], devices
ok("a user's devices are shown")

once = push.notify(["alice"], "mention", key="a-job-that-runs-twice")
assert push.notify(["alice"], "mention", key="a-job-that-runs-twice") == once
reused = failure(lambda: push.notify(["alice"], "thanks", key="a-job-that-runs-twice"))
assert (reused.status, reused.type) == (409, "urn:reveille:problem:idempotency-key-reused"), reused
accepted.append(once)
settle()
try:
    Reveille(push_url, "a token\r\nof-two: lines")
    sys.exit("a header was smuggled")
except ValueError as error:
    assert "of-two" not in str(error)
ok("the same key does nothing twice")

accepted.append(Reveille(lossy_url, token, wait=lambda s: None).notify(["alice"], "mention"))
settle()
assert push.trail(accepted[-1])["wakeups"]["accepted"] == 1
ok("where the answer got lost, or broke off, it is asked again, with the same key")

bad = failure(lambda: push.notify([], "mention"))
assert (bad.status, bad.type) == (422, "urn:reveille:problem:invalid-notifications"), bad
assert str(bad).startswith("422 Some notifications do not fit") and bad.detail, bad
assert [each["index"] for each in bad.errors] == [0] and bad.errors[0]["detail"] in str(bad), bad
stranger = failure(lambda: Reveille(push_url, "another-token-of-nobody").subscriptions("alice"))
assert (stranger.status, stranger.type) == (401, "urn:reveille:problem:unauthorized"), stranger.type
assert failure(lambda: push.trail("0" * 32)).status == 404
ok("what is refused says why, and is not asked again")

push._json("POST", "/v1/pause", {})
full = None
for _ in range(10):
    try:
        accepted.append(Reveille(push_url, token, wait_s_max=1).notify(["alice", "böb/by"], "mention"))
    except ReveilleError as error:
        full = error
        break
assert full and (full.status, full.type, full.retry_after_s) == (503, "urn:reveille:problem:outbox-full", 5), full
ok("a longer wait than it may take is its caller's affair")

waits = []


def wait(s):
    waits.append(s)
    push._json("POST", "/v1/resume", {})
    settle()


accepted.append(Reveille(push_url, token, wait=wait).notify(["alice"], "mention"))
assert waits and set(waits) == {5}, waits
settle()
ok("it comes again when it was told to")

waits = []
nobody = failure(lambda: Reveille("http://127.0.0.1:1", tries_max=3, wait=waits.append).fetched("alice"))
assert (nobody.status, nobody.type) == (0, "urn:reveille:client:unreachable"), nobody
assert len(waits) == 2 and waits[0] < waits[1], waits
untrusted = failure(lambda: Reveille(tls_url, tries_max=1).fetched("alice"))
assert untrusted.status == 0 and "certificate verify failed" in untrusted.detail, untrusted
assert failure(lambda: Reveille(tls_url, ca_file=ca_file, tries_max=1).fetched("alice")).status == 404
ok("a server out of reach is given up, and one that cannot prove its name is not spoken to")

assert push.fetched("alice") == 0
push.erase("alice")
assert push.subscriptions("alice") == []
ok("a user has looked, and goes")

sessions = Sessions(sessions_url)
for key in ("a-key", "ä/key with&odd?letters"):
    assert sessions.get(key) is None
    sessions.set(key, b"before")
    sessions.set(key, b"\0\xff any bytes")
    assert sessions.get(key) == b"\0\xff any bytes"
    sessions.delete(key)
    assert sessions.get(key) is None
sessions.set("brief", b"x", max_age_s=0)
assert sessions.get("brief") is None
assert failure(lambda: sessions.set("k" * 2_000, b"x")).status == 414
assert failure(lambda: sessions.set("a-key", b"")).status == 400, "an empty value is none"
ok("entries are written, read and deleted")
