"""Receives what Reveille tells of dead devices (`[push.feedback] mode = "webhook"`): checks who says it, and forgets the device.

A WSGI application; for a try `REVEILLE_WEBHOOK_SECRET="$(cat webhook.secret)" python3 webhook.py 8085`. Nothing but the standard library.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from wsgiref.simple_server import make_server

#: What is older, or from so far ahead, may be somebody's recording. In seconds.
AGE_S_MAX = 300
#: Most bytes of a body. A token has up to 4,096.
BODY_BYTES_MAX = 65536


def read_secret(text):
    """The key that a secret stands for: `whsec_…` of Standard Webhooks. An empty one would let everybody in: `ValueError`."""
    key = base64.b64decode(text.strip().removeprefix("whsec_"), validate=True)
    if not key:
        raise ValueError("the secret is empty")
    return key


def verify(secret, id, timestamp, signatures, body, now=None):
    """Whether a request is signed with the secret (Standard Webhooks). `body` are its bytes as they came, before anything has parsed them."""
    key = read_secret(secret)
    try:
        age_s = abs((time.time() if now is None else now) - int(timestamp))
    except ValueError:
        return False
    signed = f"{id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    # While a secret is changed there are several, with spaces between them.
    given = [each.removeprefix("v1,").encode() for each in signatures.split() if each.startswith("v1,")]
    return age_s <= AGE_S_MAX and any(hmac.compare_digest(each, expected) for each in given)


def forget(device):
    """Yours to fill: delete it from your own table. Doing it twice must be harmless, as the same death may be told again.

    `device` has `provider` (`apns`, `fcm`, `webpush`), `app`, `token` (of a browser its endpoint) and `reason`; of Apple's also `topic`; where it was
    registered at Reveille, `subscription` and `user`.
    """
    print("dead:", device["provider"], device["reason"], flush=True)


def application(environ, start_response):
    """One request. What is not answered with 2xx is told again later."""

    def answer(status):
        start_response(status, [("Content-Length", "0")])
        return [b""]

    length = int(environ.get("CONTENT_LENGTH") or 0)
    if environ["REQUEST_METHOD"] != "POST" or not 0 < length <= BODY_BYTES_MAX:
        return answer("400 Bad Request")
    body = environ["wsgi.input"].read(length)
    headers = [environ.get(f"HTTP_WEBHOOK_{name}", "") for name in ("ID", "TIMESTAMP", "SIGNATURE")]
    if not verify(os.environ["REVEILLE_WEBHOOK_SECRET"], *headers, body):
        return answer("401 Unauthorized")
    event = json.loads(body)
    if event["type"] == "token.dead":
        forget(event["data"])
    return answer("204 No Content")


if __name__ == "__main__":
    try:
        read_secret(os.environ.get("REVEILLE_WEBHOOK_SECRET", ""))
    except ValueError as error:
        sys.exit(f"REVEILLE_WEBHOOK_SECRET is not the secret of push.feedback.secret_file: {error}")
    with make_server("127.0.0.1", int(sys.argv[1]), application) as server:
        print("listening", flush=True)
        server.serve_forever()
