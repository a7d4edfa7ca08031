import { Reveille } from "./reveille.js";
export type Item = import("./reveille.js").Item;
export type Page = import("./reveille.js").Page;
export type Message = {
    type?: string;
    nonce?: string;
};
export type News = {
    title: string;
    /**
     * Of an inbox item: it is marked as read when its notification is clicked.
     */
    id?: string;
    /**
     * What a click opens: a page of this site.
     */
    url?: string;
    options?: NotificationOptions;
};
export type Options = {
    client: Reveille;
    /**
     * What is new, where the site knows and not the inbox.
     */
    news?: (message: Message) => News[] | Promise<News[]>;
    /**
     * How an item of the inbox is shown, or that it is not. Without it its `content` may have `title`, `text` and `url`.
     */
    present?: (item: Item) => News | undefined;
    /**
     * Of notifications that have none; the site's name.
     */
    title?: string;
    /**
     * What is shown, since browsers demand that each push shows something: where nothing is new, where notifications begin, where nothing could be looked up.
     */
    words?: {
        nothing?: string;
        on?: string;
        trouble?: string;
    };
    /**
     * What a click opens where nothing else is said: `/` unless said otherwise.
     */
    home?: string;
};
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
export declare function listen(options: Options): {
    wake: (text: string) => Promise<void>;
};
/**
 * How an item is shown where `present` says nothing else: by its `content`, which is a text or has `title`, `text` and `url`.
 *
 * @param {Item} item
 * @param {string} site Its title, where it has none.
 * @returns {News}
 */
export declare function presented({ id, type, content }: Item, site: string): News;
