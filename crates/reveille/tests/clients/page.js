// What a site has, and the sandbox in the place of the push service of this browser's maker.

import { Reveille, ReveilleError } from "./reveille/reveille.js";
import { SandboxPushes } from "./sandbox.js";

const url = new URL(location.href).searchParams.get("url");
const pushes = new SandboxPushes();
const settings = { url, anonymous: true, pushes: () => pushes };
const client = new Reveille(settings);
await navigator.serviceWorker.register(`worker.js?url=${encodeURIComponent(url)}`, { type: "module" });
await navigator.serviceWorker.ready;

/** What the worker has told this page: of pushes, and of notifications. */
const lists = { reveille: [], shown: [] };
let wake = () => {};
navigator.serviceWorker.addEventListener("message", ({ data }) => {
  Object.keys(data).forEach((kind) => lists[kind].push(data[kind]));
  wake();
});

/** The last of a kind, once there are so many. */
async function told(kind, count) {
  while (lists[kind].length < count) {
    await new Promise((resolve) => (wake = resolve));
  }
  return lists[kind][count - 1];
}

/** What an error says, or that there was none. */
async function failure(work) {
  try {
    return { done: (await work) ?? null };
  } catch (error) {
    const isTyped = error instanceof ReveilleError && error instanceof Error;
    return { isTyped, type: error.type, status: error.status, detail: error.detail, retryAfterS: error.retryAfterS, message: error.message };
  }
}

/** What is shown to the browser's user now. */
async function notifications() {
  const { ready } = navigator.serviceWorker;
  const shown = await (await ready).getNotifications();
  return shown.map(({ title, body, tag, data, silent }) => ({ title, body, tag, data, silent }));
}

Object.assign(globalThis, { Reveille, SandboxPushes, client, failure, notifications, pushes, settings, told });
document.body.dataset.ready = "true";
