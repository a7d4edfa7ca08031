"""A real Chromium, driven over the DevTools protocol."""
import json, os, subprocess, sys

import websocket


class Chromium:
    """One browser. `call` asks it something, `wait_for` waits for what it says by itself."""

    def __init__(self, browser, data):
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server", "--hide-scrollbars",
                 "--remote-debugging-port=0", "--remote-allow-origins=*", f"--user-data-dir={data}", "--window-size=900,1300", "about:blank"]
        self.number, self.events = 0, []
        # What it leaves behind when it is killed goes with its folder.
        os.makedirs(data, exist_ok=True)
        environment = {**os.environ, "TMPDIR": data}
        self.process = subprocess.Popen([browser, *flags], stderr=subprocess.PIPE, text=True, env=environment)
        for line in self.process.stderr:
            if "DevTools listening on " in line:
                self.socket = websocket.create_connection(line.split("DevTools listening on ")[1].strip(), timeout=60)
                return
        sys.exit("the browser does not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def call(self, method, session=None, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.number:
                if "error" in answer:
                    sys.exit(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method, fits):
        """What is found in the first event that fits, seen or to come."""
        while True:
            for event in self.events:
                if event.get("method") == method and (found := fits(event["params"])):
                    return found
            self.events.append(json.loads(self.socket.recv()))

    def evaluate(self, session, script):
        """The value of an expression there; of a promise, what it comes to."""
        result = self.call("Runtime.evaluate", session, expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            sys.exit(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def open(self, url):
        """A page with its service worker: the page's session and the registration's id."""
        self.call("Browser.grantPermissions", permissions=["notifications"], origin="/".join(url.split("/")[:3]))
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable", session)
        self.call("ServiceWorker.enable", session)
        self.call("Page.navigate", session, url=url)
        self.wait_for("Page.loadEventFired", lambda params: True)
        registration = self.wait_for(
            "ServiceWorker.workerRegistrationUpdated",
            lambda params: next((each["registrationId"] for each in params["registrations"] if not each["isDeleted"]), None),
        )
        self.wait_for("ServiceWorker.workerVersionUpdated", lambda params: any(each["status"] == "activated" for each in params["versions"]))
        return session, registration
