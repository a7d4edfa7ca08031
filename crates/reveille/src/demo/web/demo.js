// The page: subscribes, sends, and shows what the service worker found.

import { fromBase64url, makeKeys } from "./keys.js";
import { call, keep, session } from "./session.js";

/** How long the browser's push service may take, in milliseconds. */
const VENDOR_TIME_MAX = 8_000;

const element = (id) => document.getElementById(id);
const config = await (await fetch("config.json")).json();
const registration = await navigator.serviceWorker.register("worker.js", { type: "module" });

/** What the sandbox's endpoint was subscribed with. For whoever wants to look at what it decrypts. */
export const sandbox = { keys: undefined, token: undefined };
globalThis.reveille = { sandbox };

function seen(where, what, bytes) {
  const row = element("seen").insertRow(0);
  for (const text of [where, what, bytes]) {
    row.insertCell().textContent = text;
  }
}

async function me() {
  const known = await session();
  if (known?.url === config.public) {
    try {
      await call(known, "GET", "/v1/subscriptions");
      return known;
    } catch {
      // Of a server that was there before.
    }
  }
  const answer = await fetch(`${config.public}/v1/anonymous`, { method: "POST" });
  const fresh = { ...(await answer.json()), url: config.public };
  await keep(fresh);
  return fresh;
}

async function register(subscription, where) {
  const mine = await me();
  await call(mine, "POST", "/v1/subscriptions", { provider: "webpush", subscription });
  element("subscribed").textContent = `Subscribed at ${where}, as ${mine.user}.`;
  element("unreachable").hidden = true;
}

/** At the push service of this browser's maker. */
async function subscribe() {
  element("subscribed").textContent = "Asking the browser’s push service …";
  if ((await Notification.requestPermission()) !== "granted") {
    throw new Error("notifications are not allowed for this page; the lock beside its address changes that");
  }
  await navigator.serviceWorker.ready;
  const answer = await fetch(`${config.public}/v1/webpush/key`);
  const { key } = await answer.json();
  const subscribing = registration.pushManager.subscribe({
    userVisibleOnly: true,
    applicationServerKey: fromBase64url(key),
  });
  const late = new Promise((_, reject) =>
    setTimeout(() => reject(new Error("it does not answer")), VENDOR_TIME_MAX),
  );
  const subscription = await Promise.race([subscribing, late]);
  await register(subscription.toJSON(), new URL(subscription.endpoint).host);
}

/** At the sandbox, with keys made here. */
async function subscribeAtSandbox() {
  const keys = await makeKeys();
  const token = `demo-${crypto.randomUUID()}`;
  const headers = { "content-type": "application/json" };
  const asked = { token, style: "mozilla", private_key: keys.private_key, auth: keys.auth };
  const answer = await fetch("sandbox/subscriptions", { method: "POST", headers, body: JSON.stringify(asked) });
  if (!answer.ok) {
    throw new Error(`the sandbox refuses: ${await answer.text()}`);
  }
  await register(await answer.json(), "the sandbox");
  const isFirst = sandbox.token === undefined;
  Object.assign(sandbox, { keys, token });
  element("handing").hidden = false;
  if (isFirst) {
    watch();
  }
}

/** Hands what arrives at the sandbox to the service worker. */
async function watch() {
  let [after, token] = [0, sandbox.token];
  for (;;) {
    if (token !== sandbox.token) {
      [after, token] = [0, sandbox.token];
    }
    const answer = await fetch(`sandbox/pushes/${token}?after=${after}`);
    for (const push of await answer.json()) {
      after += 1;
      seen("push, as the provider sees it", push.encrypted.slice(0, 60) + "…", push.body_bytes);
      if (element("hand").checked) {
        const { active } = await navigator.serviceWorker.ready;
        active.postMessage({ push: JSON.stringify(push.payload) });
      }
    }
  }
}

async function send(event) {
  event.preventDefault();
  const mine = await me();
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ user: mine.user, text: element("text").value });
  const answer = await fetch("notifications", { method: "POST", headers, body });
  const told = await answer.json();
  element("sent").textContent = answer.ok
    ? `Accepted at ${new Date().toLocaleTimeString()}; it leaves when the window ends, every ${config.window_s} seconds.`
    : `Refused: ${told.detail ?? told.title}`;
}

function show(items) {
  element("inbox").replaceChildren(
    ...items.map((item) => {
      const line = document.createElement("li");
      line.className = item.read ? "read" : "unread";
      const time = document.createElement("time");
      time.textContent = new Date(item.at).toLocaleTimeString();
      line.append(`${item.content.text} `, time);
      return line;
    }),
  );
  element("read").disabled = items.every((item) => item.read);
}

async function read() {
  const mine = await me();
  await call(mine, "POST", "/v1/inbox/read", { all: true });
  const { bytes, json } = await call(mine, "GET", "/v1/inbox");
  seen("fetch of the inbox, nothing new", "always as long as with news", bytes);
  show(json.items);
}

function failing(what, work) {
  return async (event) => {
    try {
      await work(event);
    } catch (error) {
      element("subscribed").textContent = "Not subscribed.";
      element("unreachable").textContent = `${what}: ${error.message}`;
      element("unreachable").hidden = false;
    }
  };
}

navigator.serviceWorker.addEventListener("message", ({ data }) => {
  seen("the service worker was told", data.told, data.told.length);
  seen("fetch of the inbox", `${data.items.filter((item) => !item.read).length} new`, data.bytes);
  show(data.items);
});
const noVendor = "This browser cannot reach its push service. Use the sandbox as endpoint";
element("subscribe").addEventListener("click", failing(noVendor, subscribe));
element("sandbox").addEventListener("click", failing("The sandbox cannot be used", subscribeAtSandbox));
element("send").addEventListener("submit", failing("Nothing was sent", send));
element("read").addEventListener("click", failing("Nothing was marked", read));
await navigator.serviceWorker.ready;
document.body.dataset.ready = "true";
