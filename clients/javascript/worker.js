// Reveille in a service worker: a push that says nothing wakes it; it looks up what happened, and shows it.

import { keep, recall } from "./kept.js";
import { Reveille, within } from "./reveille.js";

/** Most notifications that one push shows; the rest is in the inbox. */
const SHOWN_MAX = 3;
/** How long looking up what happened may take, in milliseconds. Browsers end a worker soon after. */
const LOOK_TIME_MS = 20_000;
/** What a push is called that asks for proof. */
const PROOF = "verifyV1";
/** The tag of what is shown where there is nothing to show. */
const QUIET = "reveille";

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

/**
 * @typedef {import("./reveille.js").Item} Item
 * @typedef {import("./reveille.js").Page} Page
 */

/**
 * What a push says: its type, and where proof is asked for, a nonce.
 *
 * @typedef {{ type?: string, nonce?: string }} Message
 */

/**
 * Something to show.
 *
 * @typedef {object} News
 * @property {string} title
 * @property {string} [id] Of an inbox item: it is marked as read when its notification is clicked.
 * @property {string} [url] What a click opens: a page of this site.
 * @property {NotificationOptions} [options]
 */

/**
 * @typedef {object} Options
 * @property {Reveille} client
 * @property {(message: Message) => News[] | Promise<News[]>} [news] What is new, where the site knows and not the inbox.
 * @property {(item: Item) => News | undefined} [present] How an item of the inbox is shown, or that it is not. Without it its `content` may have `title`, `text` and `url`.
 * @property {string} [title] Of notifications that have none; the site's name.
 * @property {{ nothing?: string, on?: string, trouble?: string }} [words] What is shown, since browsers demand that each push shows something: where nothing is new, where notifications begin, where nothing could be looked up.
 * @property {string} [home] What a click opens where nothing else is said: `/` unless said otherwise.
 */

/**
 * Answers `push`, `pushsubscriptionchange` and `notificationclick`. Call it once, when the worker's script runs.
 *
 * Pages of this site hear of each push: `navigator.serviceWorker` gets a message whose `data.reveille` has the `message` and the `page` of the inbox.
 *
 * @param {Options} options
 * @returns {{ wake: (text: string) => Promise<void> }} `wake` does what a push does, for one that comes another way.
 */
export function listen(options) {
  /** One push after the other, so that none shows what another has shown. @type {Promise<void>} */
  let last = Promise.resolve();
  const wake = (/** @type {string} */ text) => {
    last = last.catch(() => {}).then(() => woken(options, text));
    return last;
  };
  worker.addEventListener("push", (event) => event.waitUntil(wake(event.data?.text() ?? "")));
  worker.addEventListener("pushsubscriptionchange", (event) => {
    event.waitUntil(options.client.refresh({ registration: worker.registration }));
  });
  worker.addEventListener("notificationclick", (event) => {
    const { id, url } = Object(event.notification.data);
    event.notification.close();
    const read = typeof id === "string" ? options.client.read([id]) : undefined;
    event.waitUntil(Promise.all([open(url, options.home ?? "/"), read]));
  });
  return { wake };
}

/**
 * @param {Options} options
 * @param {string} text
 */
async function woken(options, text) {
  const message = parse(text);
  const { nothing = "Nothing is new.", on = "Notifications are on.", trouble = "Something happened." } = options.words ?? {};
  try {
    if (message.type === PROOF && typeof message.nonce === "string") {
      const proven = await within(LOOK_TIME_MS, options.client.prove(message.nonce), "the server");
      return await quietly(options, proven ? on : nothing);
    }
    const { news, newest } = await within(LOOK_TIME_MS, look(options, message), "the server");
    if (news.length === 0) {
      await quietly(options, nothing);
    } else {
      const quiet = await worker.registration.getNotifications({ tag: QUIET });
      quiet.forEach((each) => each.close());
      await Promise.all(news.slice(0, SHOWN_MAX).map(show));
    }
    // Only now: what was not shown, whatever ended this, is shown the next time.
    if (newest !== undefined) {
      await keep(options.client.url, "seen", newest);
    }
  } catch (error) {
    await quietly(options, trouble);
    throw error;
  }
}

/**
 * What is new, and the newest item of the inbox, if that was asked.
 *
 * @param {Options} options
 * @param {Message} message
 * @returns {Promise<{ news: News[], newest?: string }>}
 */
async function look({ client, news, present, title }, message) {
  if (news) {
    await tell({ message });
    return { news: await news(message) };
  }
  const page = await client.inbox();
  await tell({ message, page });
  const seen = await recall(client.url, "seen");
  const upTo = page.items.findIndex((item) => item.id === seen);
  const fresh = upTo === -1 ? page.items : page.items.slice(0, upTo);
  const shown = fresh.filter((item) => !item.read).map((item) => {
    try {
      return present ? present(item) : presented(item, title ?? worker.location.host);
    } catch (error) {
      // One that the site cannot make sense of takes none of the others with it.
      console.error(error);
      return presented(item, title ?? worker.location.host);
    }
  });
  return { news: shown.filter((each) => each !== undefined), newest: page.items[0]?.id };
}

/**
 * Tells the pages of this site.
 *
 * @param {{ message: Message, page?: Page }} reveille
 */
async function tell(reveille) {
  const pages = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  pages.forEach((page) => page.postMessage({ reveille }));
}

/**
 * How an item is shown where `present` says nothing else: by its `content`, which is a text or has `title`, `text` and `url`.
 *
 * @param {Item} item
 * @param {string} site Its title, where it has none.
 * @returns {News}
 */
export function presented({ id, type, content }, site) {
  const { title, text, url } = typeof content === "string" ? { title: undefined, text: content, url: undefined } : Object(content);
  const word = (/** @type {unknown} */ value) => (typeof value === "string" ? value : undefined);
  return { id, title: word(title) ?? site, url: word(url), options: { body: word(text) ?? type } };
}

/** @param {News} news */
async function show({ title, id, url, options }) {
  const tag = id ?? options?.tag;
  await notify(title, { ...options, ...(tag === undefined ? {} : { tag }), data: { id, url } });
}

/**
 * @param {Options} options
 * @param {string} body
 */
async function quietly({ title }, body) {
  await notify(title ?? worker.location.host, { body, tag: QUIET, silent: true });
}

/**
 * @param {string} title
 * @param {NotificationOptions} options
 */
async function notify(title, options) {
  if (Notification.permission === "granted") {
    await worker.registration.showNotification(title, options);
  }
}

/**
 * A page of this site, and no other's.
 *
 * @param {unknown} url
 * @param {string} home
 */
async function open(url, home) {
  const wanted = new URL(typeof url === "string" ? url : home, worker.registration.scope);
  const page = wanted.origin === worker.location.origin ? wanted : new URL(home, worker.registration.scope);
  const pages = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  const there = pages.find((each) => each.url === page.href);
  await (there ? there.focus() : worker.clients.openWindow(page.href));
}

/**
 * @param {string} text
 * @returns {Message}
 */
function parse(text) {
  try {
    // Padding makes every push equally long.
    return Object(JSON.parse(text.replace(/\0+$/, "")));
  } catch {
    return {};
  }
}
