"""An APNs that is none of ours: Python's h2 for the frames, PyJWT for the provider token.

Usage: apns_peer.py CERT KEY SIGNING_KEY KEY_ID TEAM_ID TOPIC. Prints its port; at the end of its input prints a report as JSON.
It complains about anything a real peer could complain about. Each connection allows one stream until the first answer, whether the
client has acknowledged that or not, then 100, then 8 (a stream too many is a complaint and the connection's end), and ends with a
GOAWAY that gives a reason as APNs does: what came later is not looked at, what came before is answered. What differs from push to push must never enter the table of the header compression.
"""

import asyncio
import json
import re
import ssl
import sys
import time

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack
import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

CERT, KEY, SIGNING_KEY, KEY_ID, TEAM_ID, TOPIC = sys.argv[1:7]
with open(SIGNING_KEY, "rb") as file:
    public_key = (
        load_pem_private_key(file.read(), None).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
complaints, tokens_seen, ids_seen, bearers = [], set(), set(), set()
counts = {"connections": 0, "goaways_sent": 0, "most_streams": 0, "alerts": 0, "backgrounds": 0}
FIRST_LIMIT, WIDE_LIMIT, LATER_LIMIT = 1, 100, 8
PUSHES_BEFORE_LIMIT, PUSHES_BEFORE_GOAWAY = 40, 90
STREAMS = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
# Written as literals that no table keeps; those marked sensitive may not even be kept by anything on the way.
NEVER_KEPT = {":path", "authorization", "apns-id", "apns-expiration"}
SENSITIVE = {"authorization", "apns-id", "apns-expiration"}
ALERT = {
    "aps": {"alert": "checkEchoV1", "mutable-content": 1, "thread-id": "checkEchoV1"},
    "data": {"type": "checkEchoV1"},
}
BACKGROUND = {"aps": {"content-available": 1}, "data": {"type": "checkEchoV1"}}


def complain(what):
    if what not in complaints:
        complaints.append(what)


class Peer(asyncio.Protocol):
    def __init__(self):
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.http2 = h2.connection.H2Connection(config=config)
        # From the first moment on: a client that does not know yet what is allowed must ask for no more.
        self.http2.local_settings[STREAMS] = FIRST_LIMIT
        self.http2.local_settings.acknowledge()
        self.requests, self.answered, self.last = {}, 0, None

    def connection_made(self, transport):
        counts["connections"] += 1
        self.transport = transport
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            complain("no ALPN h2")
        self.http2.initiate_connection()
        self.flush()

    def flush(self):
        if not self.transport.is_closing():
            self.transport.write(self.http2.data_to_send())

    def data_received(self, data):
        try:
            events = self.http2.receive_data(data)
        except Exception as error:  # a protocol error of the client's, such as a stream too many
            complain(f"protocol error after {self.answered} answers: {error!r}")
            self.flush()  # h2's own GOAWAY
            self.transport.close()
            return
        for event in events:
            if isinstance(event, h2.events.PriorityUpdated):
                complain("a PRIORITY frame, or a priority in HEADERS")
            elif self.last is not None and getattr(event, "stream_id", 0) > self.last:
                continue  # later than GOAWAY: not looked at
            elif isinstance(event, h2.events.RequestReceived):
                self.opened(event)
            elif isinstance(event, h2.events.DataReceived):
                self.requests[event.stream_id][1] += event.data
                self.http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                asyncio.get_running_loop().call_later(0.005, self.answer, event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                complain("a stream was reset")
                self.requests.pop(event.stream_id, None)
        self.flush()

    def opened(self, event):
        for header in event.headers:
            if header[0] in SENSITIVE and not isinstance(header, hpack.NeverIndexedHeaderTuple):
                complain(f"{header[0]} is not marked as never indexed")
        # What incremental indexing has put there; the table has no other way to be looked at.
        for name, _ in self.http2.decoder.header_table.dynamic_entries:
            if name.decode() in NEVER_KEPT:
                complain(f"{name.decode()} was put into the table")
        headers = dict(event.headers)
        if len(headers) != len(event.headers):
            complain("a header is there twice")
        self.requests[event.stream_id] = [headers, b""]
        counts["most_streams"] = max(counts["most_streams"], len(self.requests))

    def answer(self, stream):
        if stream not in self.requests or self.transport.is_closing():
            return
        headers, body = self.requests.pop(stream)
        self.check(headers, body)
        self.http2.send_headers(stream, [(":status", "200"), ("apns-id", headers.get("apns-id", ""))], end_stream=True)
        self.answered += 1
        if self.answered == 1:
            self.http2.update_settings({STREAMS: WIDE_LIMIT})
        if self.answered == PUSHES_BEFORE_LIMIT:
            self.http2.update_settings({STREAMS: LATER_LIMIT})
        self.flush()
        if self.answered >= PUSHES_BEFORE_GOAWAY and self.last is None:
            self.go_away(max([stream, *self.requests]))

    def go_away(self, last):
        counts["goaways_sent"] += 1
        self.last = last
        # The client closes: closing here, with requests still unread, would be a reset that overtakes the GOAWAY.
        # Written by hand: h2 would refuse to answer the open streams after its own.
        payload = last.to_bytes(4, "big") + (0).to_bytes(4, "big") + b'{"reason":"Shutdown"}'
        self.transport.write(len(payload).to_bytes(3, "big") + b"\x07\x00" + (0).to_bytes(4, "big") + payload)

    def check(self, headers, body):
        if headers[":method"] != "POST" or headers[":scheme"] != "https":
            complain("not a POST over https")
        path = re.fullmatch("/3/device/((?:[0-9a-f]{2})+)", headers[":path"])
        if path is None:
            complain(f"path {headers[':path']}")
        else:
            tokens_seen.add(path[1])
        expected = {
            "apns-collapse-id", "apns-expiration", "apns-id", "apns-priority", "apns-push-type", "apns-topic",
            "authorization", "content-length",
        }
        names = {name for name in headers if not name.startswith(":")}
        if names != expected:
            complain(f"headers {sorted(names)}")
            return
        if headers["apns-topic"] != TOPIC or headers["apns-collapse-id"] != "checkEchoV1":
            complain("topic or collapse id")
        if not UUID.fullmatch(headers["apns-id"]):
            complain(f"apns-id {headers['apns-id']}")
        ids_seen.add(headers["apns-id"])
        if not 3500 <= int(headers["apns-expiration"]) - time.time() <= 3600:
            complain(f"apns-expiration {headers['apns-expiration']}")
        kind = (headers["apns-push-type"], headers["apns-priority"], json.loads(body))
        if kind == ("alert", "10", ALERT):
            counts["alerts"] += 1
        elif kind == ("background", "5", BACKGROUND):
            counts["backgrounds"] += 1
        else:
            complain(f"{kind}")
        if int(headers["content-length"]) != len(body):
            complain("content-length")
        self.check_bearer(headers["authorization"])

    def check_bearer(self, authorization):
        if authorization in bearers:
            return
        bearers.add(authorization)
        scheme, _, token = authorization.partition(" ")
        try:
            claims = jwt.decode(token, public_key, algorithms=["ES256"], options={"require": ["iss", "iat"]})
            if scheme.lower() != "bearer" or claims.keys() != {"iss", "iat"} or claims["iss"] != TEAM_ID:
                complain(f"claims {claims}")
            if jwt.get_unverified_header(token) != {"alg": "ES256", "kid": KEY_ID}:
                complain("the token's header")
            if not 0 <= time.time() - claims["iat"] <= 3600:
                complain("iat is not within the last hour")
        except Exception as error:
            complain(f"provider token: {error!r}")


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERT, KEY)
    context.set_alpn_protocols(["h2"])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Peer, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    seen = {"tokens_seen": len(tokens_seen), "ids_seen": len(ids_seen), "bearers_seen": len(bearers)}
    print(json.dumps({"complaints": complaints, **seen, **counts}), flush=True)


asyncio.run(main())
