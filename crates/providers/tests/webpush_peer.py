"""A push service and its browsers that are none of ours: http_ece decrypts, py_vapid verifies, Python's h2 and sockets do the rest.

Usage: webpush_peer.py CERT KEY VAPID_PUBLIC_KEY SUBJECT. Prints browsers' subscriptions as a line of JSON, half of them at a port with
HTTP/2, half at one with HTTP/1.1 only; at the end of its input prints a report as JSON. It complains about anything a real peer could
complain about. Each HTTP/2 connection allows 20 streams and ends with a GOAWAY: what came before is answered.
"""

import asyncio
import base64
import json
import os
import re
import ssl
import sys
import time

import h2.config
import h2.connection
import h2.events
import h2.settings
import http_ece
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02

CERT, KEY, PUBLIC_KEY, SUBJECT = sys.argv[1:5]
BROWSERS = 6
STREAMS_MAX, PUSHES_BEFORE_GOAWAY = 20, 60
HEADERS = {
    "accept", "authorization", "content-encoding", "content-length", "content-type", "topic", "ttl", "urgency",
}
complaints, browsers = [], {}
decrypted = {"h2": 0, "http1": 0}
counts = {"connections": 0, "goaways_sent": 0}
authorizations, lengths, salts, sender_keys, topics = set(), set(), set(), set(), {}


def complain(what):
    if what not in complaints:
        complaints.append(what)


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def subscribe(kind, port):
    """What a browser gives to the site (PushSubscription.toJSON()), with the key it subscribed with."""
    for number in range(BROWSERS):
        private, auth = ec.generate_private_key(ec.SECP256R1()), os.urandom(16)
        path = f"/{kind}/{number}"
        browsers[path] = (private, auth, f"https://127.0.0.1:{port}", kind)
        point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        yield {
            "endpoint": f"https://127.0.0.1:{port}{path}",
            "expirationTime": None,
            "keys": {"p256dh": encode(point), "auth": encode(auth)},
            "applicationServerKey": PUBLIC_KEY,
        }


def take(method, path, headers, body):
    """Checks one push; says the status of the answer."""
    if method != "POST" or path not in browsers:
        complain(f"{method} {path}")
        return 404
    private, auth, origin, kind = browsers[path]
    if headers.keys() != HEADERS:
        complain(f"headers {sorted(headers)}")
        return 400
    if headers["content-encoding"] != "aes128gcm" or headers["content-type"] != "application/octet-stream":
        complain("content-encoding or content-type")
    if not 3500 <= int(headers["ttl"]) <= 3600 or headers["urgency"] != "high":
        complain(f"ttl {headers['ttl']}, urgency {headers['urgency']}")
    if headers["content-length"] != str(len(body)) or not 1 <= len(body) <= 4096:
        complain("content-length")
    verify(headers["authorization"], origin)
    # RFC 8188, section 2.1: salt, record size, length of the key's name, which is the sender's public key (RFC 8291, section 4).
    salt, size, sender = body[:16], int.from_bytes(body[16:20], "big"), body[21:86]
    if size < len(body) - 86 or body[20] != 65 or salt in salts or sender in sender_keys:
        complain("the record's header, or a salt or key that was there before")
    salts.add(salt)
    sender_keys.add(sender)
    lengths.add(len(body))
    try:
        text = json.loads(http_ece.decrypt(body, private_key=private, auth_secret=auth, version="aes128gcm"))
    except Exception as error:
        complain(f"cannot be decrypted: {error!r}")
        return 400
    if text.keys() != {"type"}:
        complain(f"text {text}")
    topic = headers["topic"]
    if not re.fullmatch("[A-Za-z0-9_-]{32}", topic) or topics.setdefault(text["type"], topic) != topic:
        complain(f"topic {topic}")
    decrypted[kind] += 1
    return 201


def verify(authorization, origin):
    if (authorization, origin) in authorizations:
        return
    authorizations.add((authorization, origin))
    try:
        # RFC 8292 allows a space behind the comma, py_vapid does not.
        if not Vapid02.verify(authorization.replace(", ", ",")):
            complain("the signature is wrong")
        token, key = re.fullmatch("vapid t=([^,]+), k=(.+)", authorization).groups()
        if key != PUBLIC_KEY:
            complain("another key than the browser subscribed with")
        if jwt.get_unverified_header(token) != {"typ": "JWT", "alg": "ES256"}:
            complain("the token's header")
        claims = jwt.decode(token, options={"verify_signature": False})
        if claims.keys() != {"aud", "exp", "sub"} or claims["sub"] != SUBJECT or claims["aud"] != origin:
            complain(f"claims {claims}, origin {origin}")
        if not 3600 < claims["exp"] - time.time() <= 86400:
            complain("exp is not within a day")
    except Exception as error:
        complain(f"VAPID: {error!r}")


class Http2(asyncio.Protocol):
    def __init__(self):
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.http2 = h2.connection.H2Connection(config=config)
        self.requests, self.answered, self.last = {}, 0, None

    def connection_made(self, transport):
        counts["connections"] += 1
        self.transport = transport
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            complain("no ALPN h2")
        self.http2.initiate_connection()
        # Holds once it is acknowledged; h2 itself enforces it.
        self.http2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS_MAX})
        self.flush()

    def flush(self):
        if not self.transport.is_closing():
            self.transport.write(self.http2.data_to_send())

    def data_received(self, data):
        try:
            events = self.http2.receive_data(data)
        except Exception as error:  # a protocol error of the client's, such as a stream above the limit it acknowledged
            complain(f"protocol error: {error!r}")
            self.transport.close()
            return
        for event in events:
            if self.last is not None and (getattr(event, "stream_id", 0) or 0) > self.last:
                continue  # later than GOAWAY: not looked at
            if isinstance(event, h2.events.RequestReceived):
                self.requests[event.stream_id] = [dict(event.headers), b""]
            elif isinstance(event, h2.events.DataReceived):
                self.requests[event.stream_id][1] += event.data
                self.http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                asyncio.get_running_loop().call_later(0.005, self.answer, event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.requests.pop(event.stream_id, None)
        self.flush()

    def answer(self, stream):
        if stream not in self.requests or self.transport.is_closing():
            return
        headers, body = self.requests.pop(stream)
        plain = {name: value for name, value in headers.items() if not name.startswith(":")}
        status = take(headers[":method"], headers[":path"], plain, body)
        self.http2.send_headers(stream, [(":status", str(status)), ("location", "/m/1")], end_stream=True)
        self.answered += 1
        self.flush()
        if self.answered >= PUSHES_BEFORE_GOAWAY and self.last is None:
            counts["goaways_sent"] += 1
            self.last = max([stream, *self.requests])
            # The client closes: closing here, with requests still unread, would be a reset that overtakes the GOAWAY.
            # Written by hand: h2 would refuse to answer the open streams after its own.
            payload = self.last.to_bytes(4, "big") + (0).to_bytes(4, "big")
            self.transport.write(len(payload).to_bytes(3, "big") + b"\x07\x00" + (0).to_bytes(4, "big") + payload)


async def http1(reader, writer):
    counts["connections"] += 1
    try:
        while head := (await reader.readuntil(b"\r\n\r\n")).decode():
            line, *rest = head.rstrip("\r\n").split("\r\n")
            headers = {name.lower(): value for name, value in (field.split(": ", 1) for field in rest)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            method, path, version = line.split(" ")
            if version != "HTTP/1.1" or not headers.pop("host", "").startswith("127.0.0.1:"):
                complain(f"{line}")
            status = take(method, path, headers, body)
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        pass  # the client has gone, or the test is over
    except Exception as error:
        complain(f"HTTP/1.1: {error!r}")
    writer.close()


async def main():
    def context(protocol):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(CERT, KEY)
        made.set_alpn_protocols([protocol])
        return made

    loop = asyncio.get_running_loop()
    new = await loop.create_server(Http2, "127.0.0.1", 0, ssl=context("h2"))
    old = await asyncio.start_server(http1, "127.0.0.1", 0, ssl=context("http/1.1"))
    ports = {kind: server.sockets[0].getsockname()[1] for kind, server in (("h2", new), ("http1", old))}
    print(json.dumps([each for kind, port in ports.items() for each in subscribe(kind, port)]), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    seen = {"lengths": sorted(lengths), "types": sorted(topics), "topics": len(set(topics.values()))}
    seen["authorizations"] = len(authorizations)
    print(json.dumps({"complaints": complaints, "decrypted": decrypted, **seen, **counts}), flush=True)


asyncio.run(main())
