// The sandbox in the place of the push service of this browser's maker: what `Reveille` takes as `pushes`.

import { makeKeys, toBase64url } from "./keys.js";

/** Subscribes at the sandbox, with keys made here, as `PushManager` does at a push service. What arrives there somebody has to hand on. */
export class SandboxPushes {
  /** What the subscription was made with. For whoever wants to look at what is sent to it. */
  keys;
  token;
  #subscription = null;

  async permissionState() {
    return "granted";
  }

  async getSubscription() {
    return this.#subscription;
  }

  async subscribe({ applicationServerKey }) {
    if (this.#subscription) {
      throw new DOMException("there is a subscription; with another key it has to be ended first", "InvalidStateError");
    }
    const { private_key, auth } = (this.keys = await makeKeys());
    this.token = `demo-${crypto.randomUUID()}`;
    const asked = { token: this.token, style: "mozilla", private_key, auth, application_server_key: toBase64url(applicationServerKey) };
    const headers = { "content-type": "application/json" };
    const answer = await fetch("sandbox/subscriptions", { method: "POST", headers, body: JSON.stringify(asked) });
    if (!answer.ok) {
      throw new Error(`the sandbox refuses: ${await answer.text()}`);
    }
    const json = await answer.json();
    this.#subscription = {
      endpoint: json.endpoint,
      options: { applicationServerKey: applicationServerKey.buffer },
      toJSON: () => json,
      unsubscribe: async () => {
        this.#subscription = null;
        return true;
      },
    };
    return this.#subscription;
  }
}
