"""An FCM that is none of ours: Python's h2 for the frames, PyJWT for the assertion.

Usage: fcm_peer.py CERT KEY SERVICE_ACCOUNT. Prints its port; at the end of its input prints a report as JSON.
It complains about anything a real peer could complain about: streams above the announced limit, a wrong assertion,
unexpected headers or bodies. Each connection begins with a limit of 100 streams, lowers it on the way, and ends with a
GOAWAY: what came later is not looked at, what came before is answered.
"""

import asyncio
import json
import ssl
import sys
import time
from urllib.parse import parse_qs

import h2.config
import h2.connection
import h2.events
import h2.settings
import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

CERT, KEY, ACCOUNT = sys.argv[1:4]
with open(ACCOUNT, encoding="utf-8") as file:
    account = json.load(file)
public_key = (
    load_pem_private_key(account["private_key"].encode(), None)
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
)
complaints, tokens_seen = [], set()
counts = {"assertions_verified": 0, "goaways_sent": 0, "connections": 0, "most_streams": 0}
state = {"port": 0}
ACCESS = "ya29.peer"
FIRST_LIMIT, LATER_LIMIT = 100, 8
MESSAGES_BEFORE_LIMIT, MESSAGES_BEFORE_GOAWAY = 30, 90


def complain(what):
    if what not in complaints:
        complaints.append(what)


class Peer(asyncio.Protocol):
    def __init__(self):
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.http2 = h2.connection.H2Connection(config=config)
        self.requests, self.answered, self.limit, self.last = {}, 0, FIRST_LIMIT, None

    def connection_made(self, transport):
        counts["connections"] += 1
        self.transport = transport
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            complain("no ALPN h2")
        self.http2.local_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = FIRST_LIMIT
        self.http2.initiate_connection()
        self.flush()

    def flush(self):
        if not self.transport.is_closing():
            self.transport.write(self.http2.data_to_send())

    def data_received(self, data):
        try:
            events = self.http2.receive_data(data)
        except Exception as error:  # a protocol error of the client's
            complain(f"protocol error: {error!r}")
            self.transport.close()
            return
        for event in events:
            if isinstance(event, h2.events.SettingsAcknowledged):
                self.limit = self.http2.local_settings.max_concurrent_streams
            elif self.last is not None and getattr(event, "stream_id", 0) > self.last:
                continue  # later than GOAWAY: not looked at
            elif isinstance(event, h2.events.RequestReceived):
                headers = dict(event.headers)
                if headers[":path"].endswith("messages:send") and len(self.requests) >= self.limit:
                    complain(f"{len(self.requests) + 1} streams open, {self.limit} allowed and acknowledged")
                self.requests[event.stream_id] = [headers, b""]
                counts["most_streams"] = max(counts["most_streams"], len(self.requests))
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
        status, reply = self.reply(headers, body)
        self.http2.send_headers(stream, [(":status", str(status)), ("content-type", "application/json")])
        self.http2.send_data(stream, json.dumps(reply).encode(), end_stream=True)
        if headers[":path"].endswith("messages:send"):
            self.answered += 1
            if self.answered == MESSAGES_BEFORE_LIMIT:
                self.http2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: LATER_LIMIT})
        self.flush()
        if self.answered >= MESSAGES_BEFORE_GOAWAY and self.last is None:
            counts["goaways_sent"] += 1
            self.last = max([stream, *self.requests])
            # The client closes: closing here, with requests still unread, would be a reset that overtakes the GOAWAY.
            # Written by hand: h2 would refuse to answer the open streams after its own.
            payload = self.last.to_bytes(4, "big") + (0).to_bytes(4, "big")
            self.transport.write(len(payload).to_bytes(3, "big") + b"\x07\x00" + (0).to_bytes(4, "big") + payload)

    def reply(self, headers, body):
        if headers[":method"] != "POST" or headers[":scheme"] != "https":
            complain("not a POST over https")
        if headers[":path"] == "/token":
            return self.token(headers, body)
        if headers[":path"] != f"/v1/projects/{account['project_id']}/messages:send":
            complain(f"path {headers[':path']}")
        if headers.get("authorization") != f"Bearer {ACCESS}":
            complain("authorization")
        names = {name for name in headers if not name.startswith(":")}
        if names - {"authorization", "content-type", "content-length"}:
            complain(f"headers {sorted(names)}")
        message = json.loads(body)
        token = message["message"].pop("token")
        ttl = message["message"]["android"].pop("ttl")
        if not 3500 <= int(ttl.removesuffix("s")) <= 3600:
            complain(f"ttl {ttl}")
        android = {"collapse_key": "checkEchoV1", "priority": "NORMAL"}
        expected = {"validate_only": False, "message": {"data": {"type": "checkEchoV1"}, "android": android}}
        if message != expected:
            complain(f"message {message}")
        tokens_seen.add(token)
        return 200, {"name": "projects/p/messages/1"}

    def token(self, headers, body):
        if not headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            complain("the token request is no form")
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            complain("grant_type")
        try:
            audience = f"https://127.0.0.1:{state['port']}/token"
            claims = jwt.decode(form["assertion"], public_key, algorithms=["RS256"], audience=audience)
            if jwt.get_unverified_header(form["assertion"]).get("kid") != account["private_key_id"]:
                complain("kid")
            if claims["iss"] != account["client_email"] or claims["exp"] - claims["iat"] > 3600:
                complain("claims")
            if claims["scope"] != "https://www.googleapis.com/auth/firebase.messaging":
                complain("scope")
            if abs(claims["iat"] - time.time()) > 60:
                complain("iat")
            counts["assertions_verified"] += 1
        except Exception as error:
            complain(f"assertion: {error!r}")
        return 200, {"access_token": ACCESS, "expires_in": 3599, "token_type": "Bearer"}


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERT, KEY)
    context.set_alpn_protocols(["h2"])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Peer, "127.0.0.1", 0, ssl=context)
    state["port"] = server.sockets[0].getsockname()[1]
    print(state["port"], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(json.dumps({"complaints": complaints, "tokens_seen": len(tokens_seen), **counts}), flush=True)


asyncio.run(main())
