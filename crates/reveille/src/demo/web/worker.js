// The service worker: woken by a push that says nothing but its type, it fetches the inbox and shows what is new.

import { call, session } from "./session.js";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => event.waitUntil(wake(event.data?.text() ?? "")));

// What arrived at the sandbox, handed on by the page.
self.addEventListener("message", (event) => {
  if (typeof event.data?.push === "string") {
    event.waitUntil(wake(event.data.push));
  }
});

async function wake(text) {
  // Padding makes every push equally long.
  const told = text.replace(/\0+$/, "");
  const me = await session();
  if (!me) {
    return;
  }
  const { bytes, json } = await call(me, "GET", "/v1/inbox");
  const pages = await self.clients.matchAll({ includeUncontrolled: true });
  for (const page of pages) {
    page.postMessage({ told, bytes, items: json.items });
  }
  const news = json.items.filter((item) => !item.read);
  if (news.length > 0 && Notification.permission === "granted") {
    await self.registration.showNotification("Reveille", { body: news[0].content.text, tag: "reveille" });
  }
}
