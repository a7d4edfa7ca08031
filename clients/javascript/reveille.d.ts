export type Settings = {
    /**
     * Where the public API is, `https://push.example.org`.
     */
    url: string | URL;
    /**
     * Whether cookies are sent, which say who is calling: `"include"` where the API has another origin than the page.
     */
    credentials?: RequestCredentials;
    /**
     * What says who is calling where no cookie does: `{ authorization: "Bearer …" }`, or what gives that.
     */
    headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
    /**
     * The device has no account: it gets a user of its own, which is remembered here. See `user()`.
     */
    anonymous?: boolean;
    /**
     * Who subscribes this browser, if it is not its own `registration.pushManager`. The one seam for tests and demos.
     */
    pushes?: (registration: ServiceWorkerRegistration) => Pushes;
    /**
     * How long one request may take, in milliseconds: 10,000 unless said otherwise.
     */
    requestTimeMs?: number;
    /**
     * How long the browser's push service may take, in milliseconds: 20,000 unless said otherwise.
     */
    subscribeTimeMs?: number;
    /**
     * The longest `Retry-After` that is waited for, in milliseconds: 15,000 unless said otherwise.
     */
    waitMsMax?: number;
};
export type Pushes = {
    getSubscription: () => Promise<BrowserSubscription | null>;
    subscribe: (options: {
        userVisibleOnly: boolean;
        applicationServerKey: Uint8Array<ArrayBuffer>;
    }) => Promise<BrowserSubscription>;
    permissionState: (options: {
        userVisibleOnly: boolean;
    }) => Promise<PermissionState>;
};
export type BrowserSubscription = {
    endpoint: string;
    options: {
        readonly applicationServerKey: ArrayBuffer | null;
    };
    toJSON: () => object;
    unsubscribe: () => Promise<boolean>;
};
export type Subscription = {
    id: string;
    provider: "apns" | "fcm" | "webpush";
    topic?: string;
    app?: string;
    sealed: boolean;
    mode: "batch" | "cohort" | "sealed";
    suspect: boolean;
    stale: boolean;
    /**
     * Whether it has shown that it has its token, where the server asks for that. Until then it wakes nobody; the service worker shows it.
     */
    verified: boolean;
    created_at: string;
    refreshed_at: string;
};
export type Item = {
    id: string;
    type: string;
    /**
     * When (RFC 3339).
     */
    at: string;
    read: boolean;
    /**
     * What the site says about it: any JSON.
     */
    content: unknown;
};
export type Page = {
    items: Item[];
    /**
     * Where the next page begins, if there is one: its `before`.
     */
    next: string | null;
    /**
     * How long the answer was: always the same, with news and without.
     */
    bytes: number;
};
export type Whole = {
    text: string;
    bytes: number;
};
/**
 * @typedef {object} Settings
 * @property {string | URL} url Where the public API is, `https://push.example.org`.
 * @property {RequestCredentials} [credentials] Whether cookies are sent, which say who is calling: `"include"` where the API has another origin than the page.
 * @property {HeadersInit | (() => HeadersInit | Promise<HeadersInit>)} [headers] What says who is calling where no cookie does: `{ authorization: "Bearer …" }`, or what gives that.
 * @property {boolean} [anonymous] The device has no account: it gets a user of its own, which is remembered here. See `user()`.
 * @property {(registration: ServiceWorkerRegistration) => Pushes} [pushes] Who subscribes this browser, if it is not its own `registration.pushManager`. The one seam for tests and demos.
 * @property {number} [requestTimeMs] How long one request may take, in milliseconds: 10,000 unless said otherwise.
 * @property {number} [subscribeTimeMs] How long the browser's push service may take, in milliseconds: 20,000 unless said otherwise.
 * @property {number} [waitMsMax] The longest `Retry-After` that is waited for, in milliseconds: 15,000 unless said otherwise.
 */
/**
 * The part of `PushManager` that is used.
 *
 * @typedef {object} Pushes
 * @property {() => Promise<BrowserSubscription | null>} getSubscription
 * @property {(options: { userVisibleOnly: boolean, applicationServerKey: Uint8Array<ArrayBuffer> }) => Promise<BrowserSubscription>} subscribe
 * @property {(options: { userVisibleOnly: boolean }) => Promise<PermissionState>} permissionState
 */
/**
 * The part of `PushSubscription` that is used.
 *
 * @typedef {object} BrowserSubscription
 * @property {string} endpoint
 * @property {{ readonly applicationServerKey: ArrayBuffer | null }} options
 * @property {() => object} toJSON
 * @property {() => Promise<boolean>} unsubscribe
 */
/**
 * A device as the server shows it.
 *
 * @typedef {object} Subscription
 * @property {string} id
 * @property {"apns" | "fcm" | "webpush"} provider
 * @property {string} [topic]
 * @property {string} [app]
 * @property {boolean} sealed
 * @property {"batch" | "cohort" | "sealed"} mode
 * @property {boolean} suspect
 * @property {boolean} stale
 * @property {boolean} verified Whether it has shown that it has its token, where the server asks for that. Until then it wakes nobody; the service worker shows it.
 * @property {string} created_at
 * @property {string} refreshed_at
 */
/**
 * What happened.
 *
 * @typedef {object} Item
 * @property {string} id
 * @property {string} type
 * @property {string} at When (RFC 3339).
 * @property {boolean} read
 * @property {unknown} content What the site says about it: any JSON.
 */
/**
 * A page of the inbox, newest first.
 *
 * @typedef {object} Page
 * @property {Item[]} items
 * @property {string | null} next Where the next page begins, if there is one: its `before`.
 * @property {number} bytes How long the answer was: always the same, with news and without.
 */
/** @typedef {{ text: string, bytes: number }} Whole */
/** Why something was not done: what the server says (RFC 9457), or, with `status` 0, why it could not be asked. */
export declare class ReveilleError extends Error {
    /** What kind of problem: `urn:reveille:problem:…` of the server, or `urn:reveille:client:` and `unreachable`, `timeout`, `odd-answer`, `permission` or `push-service`. */
    type: string;
    /** The status of the answer; 0 where there was none. */
    status: number;
    /** What is wrong, for people. */
    detail: string;
    /** In how many seconds it may be tried again, where the server says so. @type {number | undefined} */
    retryAfterS: number | undefined;
    /** @param {{ type: string, status?: number, title: string, detail?: string, retryAfterS?: number, cause?: unknown }} problem */
    constructor({ type, status, title, detail, retryAfterS, cause }: {
        type: string;
        status?: number;
        title: string;
        detail?: string;
        retryAfterS?: number;
        cause?: unknown;
    });
}
/** Talks to a Reveille server as this browser's user. */
export declare class Reveille {
    #private;
    /** Where the public API is. @type {string} @readonly */
    readonly url: string;
    /** @param {Settings} settings */
    constructor(settings: Settings);
    /**
     * Subscribes this browser, asking its user for permission if need be: call it when they have pressed a button.
     *
     * @param {{ registration?: ServiceWorkerRegistration }} [options] The service worker's registration, if the page has several.
     * @returns {Promise<Subscription>}
     */
    subscribe({ registration }?: {
        registration?: ServiceWorkerRegistration;
    }): Promise<Subscription>;
    /**
     * Keeps a browser subscribed that was: call it at each visit. What was changed in the meantime, an endpoint or the server's key, is put right. Asks nobody for anything.
     *
     * @param {{ registration?: ServiceWorkerRegistration }} [options]
     * @returns {Promise<Subscription | null>} null where it is not subscribed.
     */
    refresh({ registration }?: {
        registration?: ServiceWorkerRegistration;
    }): Promise<Subscription | null>;
    /**
     * Ends the subscription, here and at the server. Where that cannot be reached it learns it from the push service.
     *
     * @param {{ registration?: ServiceWorkerRegistration }} [options]
     */
    unsubscribe({ registration }?: {
        registration?: ServiceWorkerRegistration;
    }): Promise<void>;
    /**
     * This browser as the server knows it.
     *
     * @returns {Promise<Subscription | null>} null where it is not subscribed, or has not shown yet that it has its token, where the server asks for that.
     */
    current(): Promise<Subscription | null>;
    /**
     * All devices of this user that can be woken.
     *
     * @returns {Promise<Subscription[]>}
     */
    subscriptions(): Promise<Subscription[]>;
    /**
     * Which event types wake this user.
     *
     * @returns {Promise<Record<string, boolean>>}
     */
    preferences(): Promise<Record<string, boolean>>;
    /**
     * Says which do, in the place of what was said before.
     *
     * @param {Record<string, boolean>} types
     * @returns {Promise<Record<string, boolean>>} What holds now.
     */
    setPreferences(types: Record<string, boolean>): Promise<Record<string, boolean>>;
    /**
     * A page of the inbox, newest first.
     *
     * @param {{ before?: string, limit?: number }} [options] `before`: the `next` of the page before. `limit`: 1 to 50.
     * @returns {Promise<Page>}
     */
    inbox({ before, limit }?: {
        before?: string;
        limit?: number;
    }): Promise<Page>;
    /**
     * Says what was read. What waits for the devices of this user is cancelled: they have looked.
     *
     * @param {string[] | "all"} which
     */
    read(which: string[] | "all"): Promise<void>;
    /**
     * Shows that this device has its token: the nonce of a push of type `verifyV1`. The service worker does it.
     *
     * @param {string} nonce
     * @returns {Promise<Subscription | null>} null where nothing waits for this proof.
     */
    prove(nonce: string): Promise<Subscription | null>;
    /**
     * The name of this device's own user, for whoever sends notifications (`anonymous: true`). There is a new one where none is remembered.
     *
     * @returns {Promise<string>}
     */
    user(): Promise<string>;
    /** Forgets that user: whoever has this browser next is another one. Nobody can be that user any more. */
    forget(): Promise<void>;
}
/**
 * @template T
 * @param {number} ms
 * @param {Promise<T>} work
 * @param {string} who
 * @returns {Promise<T>}
 */
export declare function within<T>(ms: number, work: Promise<T>, who: string): Promise<T>;
