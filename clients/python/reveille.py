"""Reveille's private API and its session store, from a site's own server. One file, nothing but the standard library: copy it.

    push = Reveille("http://127.0.0.1:8900")
    push.notify(["alice"], "mention", content={"text": "Somebody mentioned you"})

Every call ends within its bounds: `timeout_s` for each wait on the network, `tries_max` tries, and no wait between them longer than `wait_s_max`.
What failed is a `ReveilleError`; what cannot be sent at all, a `ValueError`. A client is for one thread; making another costs nothing.
"""

import email.utils
import http.client
import json
import random
import ssl
import time
import urllib.parse
import uuid

#: Most bytes of an answer that are read. The session store's values have up to 15 MiB.
ANSWER_BYTES_MAX = 16 * 1024 * 1024
#: After these the same request may be sent again: nothing was done, or doing it twice is the same as once.
PASSING = {429, 500, 502, 503, 504}


class ReveilleError(Exception):
    """Why something was not done: what the server says (RFC 9457), or with `status` 0 why there was no answer."""

    def __init__(self, status, type, title, detail="", retry_after_s=None, errors=()):
        more = "; ".join(filter(None, [detail, *(each["detail"] for each in errors)]))
        super().__init__(" ".join(filter(None, [str(status or ""), title, more and f"({more})"])))
        self.status = status
        #: `urn:reveille:problem:…`, or `urn:reveille:client:unreachable` or `…:odd-answer`.
        self.type = type
        self.detail = detail
        #: What is wrong with which notification (422): each has `index` and `detail`.
        self.errors = list(errors)
        #: When it may be tried again, in seconds, where the server says so.
        self.retry_after_s = retry_after_s


class Client:
    """Sends requests to one server, and the same again while its trouble may pass."""

    def __init__(self, url, token=None, ca_file=None, timeout_s=10, tries_max=4, wait_s_max=30, wait=time.sleep):
        """`token` is a bearer token, `ca_file` an authority to trust instead of the system's; certificates are always verified."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the address must begin with http:// or https:// and name a host")
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path.rstrip("/")
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        token = token.strip() if token else None
        if token and not (token.isascii() and token.isprintable()):
            raise ValueError("a token is one line")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_s, self._tries_max, self._wait_s_max, self._wait = timeout_s, tries_max, wait_s_max, wait

    def _call(self, method, path, body=None, headers=None):
        """Status and body of an answer that is not an error."""
        for tried in range(1, self._tries_max + 1):
            try:
                return self._once(method, path, body, headers)
            except ReveilleError as error:
                pause_s = error.retry_after_s
                if pause_s is None:
                    pause_s = random.uniform(0.5, 1) * 2 ** (tried - 1)
                may_pass = error.status in PASSING or error.type.endswith(":unreachable")
                if not may_pass or tried == self._tries_max or pause_s > self._wait_s_max:
                    raise
            self._wait(pause_s)

    def _once(self, method, path, body, headers):
        if self._tls:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._tls)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request(method, self._path + path, body, {**self._headers, **(headers or {})})
            answer = connection.getresponse()
            content = answer.read(ANSWER_BYTES_MAX + 1)
            # Read up to a bound, an answer that breaks off is no error of its own.
            if answer.length and len(content) <= ANSWER_BYTES_MAX:
                raise http.client.IncompleteRead(content, answer.length)
        except (OSError, http.client.HTTPException) as error:
            raise ReveilleError(0, "urn:reveille:client:unreachable", "The server does not answer", str(error)) from error
        finally:
            connection.close()
        if len(content) > ANSWER_BYTES_MAX:
            raise ReveilleError(0, "urn:reveille:client:odd-answer", "The answer is too long")
        if not 200 <= answer.status < 300:
            raise _refused(answer, content)
        return answer.status, content

    def _json(self, method, path, value=None, headers=None):
        body = None
        if value is not None:
            body, headers = json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})}
        _, content = self._call(method, path, body, headers)
        try:
            return json.loads(content) if content else None
        except ValueError as error:
            raise ReveilleError(0, "urn:reveille:client:odd-answer", "The answer is not JSON") from error


class Reveille(Client):
    """The private API: for callers inside the cluster."""

    def notify(self, users, type, key=None, **more):
        """Wakes the devices of users. Returns the notification's id once it is on disk at the server.

        `more` are the other fields of `POST /v1/notifications`: `content`, `ttl_s`, `deliver_after`, `spread_s`, `dry_run`. Every try has the same
        `Idempotency-Key`, so that one that was carried out and whose answer got lost does nothing again. Say `key` where you repeat it yourself
        (a job that runs twice), within an hour.
        """
        body = {"users": list(users), "type": type, **more}
        return self._json("POST", "/v1/notifications", body, {"Idempotency-Key": key or str(uuid.uuid4())})["id"]

    def trail(self, id):
        """What became of a notification: counts, no user and no device."""
        return self._json("GET", f"/v1/notifications/{_escaped(id)}")

    def take_back(self, id):
        """Takes back a notification whose `deliver_after` has not come."""
        self._json("DELETE", f"/v1/notifications/{_escaped(id)}")

    def subscriptions(self, user):
        """A user's devices. Their tokens are never shown."""
        return self._json("GET", f"/v1/users/{_escaped(user)}/subscriptions")

    def fetched(self, user):
        """The user has looked: what waits for their devices is cancelled. Returns how many wake-ups were."""
        return self._json("POST", f"/v1/users/{_escaped(user)}/fetched")["cancelled"]

    def erase(self, user):
        """Removes every trace of a user, and returns once it is gone."""
        self._json("DELETE", f"/v1/users/{_escaped(user)}")


class Sessions(Client):
    """The session store: `Sessions("http://127.0.0.1:8081/sessions/v1")`. Values are bytes."""

    def get(self, key):
        """The value; `None` where there is none."""
        try:
            return self._call("GET", f"/{_escaped(key)}")[1]
        except ReveilleError as error:
            if error.status == 404:
                return None
            raise

    def set(self, key, value, max_age_s=None):
        """Writes a value in the place of the one there is. `max_age_s` shortens its life."""
        headers = {"Content-Type": "application/octet-stream"}
        if max_age_s is not None:
            headers["Cache-Control"] = f"max-age={int(max_age_s)}"
        self._call("POST", f"/{_escaped(key)}", value, headers)

    def delete(self, key):
        """Removes it, if it is there."""
        self._call("DELETE", f"/{_escaped(key)}")


def _escaped(text):
    return urllib.parse.quote(text, safe="")


def _refused(answer, content):
    try:
        problem = json.loads(content)
    except ValueError:
        problem = None
    # A proxy's page is none.
    if not isinstance(problem, dict):
        problem = {}

    def word(of, name, otherwise):
        return of[name] if isinstance(of, dict) and isinstance(of.get(name), str) else otherwise

    listed = problem.get("errors")
    errors = [each for each in (listed if isinstance(listed, list) else []) if word(each, "detail", None)]
    type, title = word(problem, "type", "about:blank"), word(problem, "title", "The server refuses")
    return ReveilleError(answer.status, type, title, word(problem, "detail", ""), _retry_after(answer.headers["Retry-After"]), errors)


def _retry_after(value):
    """Seconds from now, of either form (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return int(value)
    try:
        return max(0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
