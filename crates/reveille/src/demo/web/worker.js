// The service worker: woken by a push that says nothing but its type, it fetches the inbox and shows what is new.

import { Reveille } from "./reveille/reveille.js";
import { listen } from "./reveille/worker.js";

// The page says where the server is.
const client = new Reveille({ url: new URL(self.location.href).searchParams.get("url"), anonymous: true });
const { wake } = listen({ client, title: "Reveille" });

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

// What arrived at the sandbox, handed on by the page.
self.addEventListener("message", (event) => {
  if (typeof event.data?.push === "string") {
    event.waitUntil(wake(event.data.push));
  }
});
