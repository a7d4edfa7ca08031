// The page: subscribes, sends, and shows what the service worker found.

import { Reveille } from "./reveille/reveille.js";
import { SandboxPushes } from "./sandbox.js";

/** How long the browser's push service may take, in milliseconds. */
const VENDOR_TIME_MS_MAX = 8_000;

const element = (id) => document.getElementById(id);
const config = await (await fetch("config.json")).json();
const registration = await navigator.serviceWorker.register(`worker.js?url=${encodeURIComponent(config.public)}`, { type: "module" });

/** The sandbox's subscription. For whoever wants to look at what it decrypts. */
export const sandbox = new SandboxPushes();
globalThis.reveille = { sandbox };

const settings = { url: config.public, anonymous: true, subscribeTimeMs: VENDOR_TIME_MS_MAX };
/** At the push service of this browser's maker. */
const client = new Reveille(settings);
/** At the sandbox. */
const sandboxed = new Reveille({ ...settings, pushes: () => sandbox });

function seen(where, what, bytes) {
  const row = element("seen").insertRow(0);
  for (const text of [where, what, bytes]) {
    row.insertCell().textContent = text;
  }
}

/** The user of this browser. One of a server that was there before is nobody: asking shows it, and makes a new one. */
async function me() {
  await client.subscriptions();
  return client.user();
}

async function subscribe() {
  element("subscribed").textContent = "Asking the browser’s push service …";
  const user = await me();
  await client.subscribe({ registration });
  const { endpoint } = await registration.pushManager.getSubscription();
  subscribed(new URL(endpoint).host, user);
}

async function subscribeAtSandbox() {
  const user = await me();
  const isFirst = sandbox.token === undefined;
  await sandboxed.subscribe({ registration });
  subscribed("the sandbox", user);
  element("handing").hidden = false;
  if (isFirst) {
    watch();
  }
}

function subscribed(where, user) {
  element("subscribed").textContent = `Subscribed at ${where}, as ${user}.`;
  element("unreachable").hidden = true;
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
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ user: await me(), text: element("text").value });
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
  await client.read("all");
  const { items, bytes } = await client.inbox();
  seen("fetch of the inbox, nothing new", "always as long as with news", bytes);
  show(items);
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

navigator.serviceWorker.addEventListener("message", ({ data: { reveille } }) => {
  const told = JSON.stringify(reveille.message);
  seen("the service worker was told", told, told.length);
  seen("fetch of the inbox", `${reveille.page.items.filter((item) => !item.read).length} new`, reveille.page.bytes);
  show(reveille.page.items);
});
const noVendor = "This browser cannot reach its push service. Use the sandbox as endpoint";
element("subscribe").addEventListener("click", failing(noVendor, subscribe));
element("sandbox").addEventListener("click", failing("The sandbox cannot be used", subscribeAtSandbox));
element("send").addEventListener("submit", failing("Nothing was sent", send));
element("read").addEventListener("click", failing("Nothing was marked", read));
await navigator.serviceWorker.ready;
document.body.dataset.ready = "true";
