// A site's service worker, with the sandbox in the place of the push service.

import { Reveille } from "./reveille/reveille.js";
import { listen, presented } from "./reveille/worker.js";
import { SandboxPushes } from "./sandbox.js";

const url = new URL(self.location.href).searchParams.get("url");
self.pushes = new SandboxPushes();
self.client = new Reveille({ url, anonymous: true, pushes: () => self.pushes });
const present = (item) => {
  if (item.content === "Nobody can make sense of this") {
    throw new Error(item.content);
  }
  return item.content === "Of no interest" ? undefined : presented(item, "Our site");
};
listen({ client: self.client, title: "Our site", words: { nothing: "All read." }, present });

// Whoever asks again and again what is shown disturbs the browser, so that pages are told when something is.
const show = self.registration.showNotification.bind(self.registration);
self.registration.showNotification = async (title, options) => {
  if (options.body === self.refused) {
    throw new Error("the browser does not want to show it");
  }
  await show(title, options);
  const pages = await self.clients.matchAll({ includeUncontrolled: true });
  pages.forEach((page) => page.postMessage({ shown: { title, ...options } }));
};
self.addEventListener("install", () => self.skipWaiting());
