// Reveille in a browser: subscribes it, keeps it subscribed, and reads what it was woken for. No dependency, no build step.

import { drop, keep, recall } from "./kept.js";

/** How long one request may take, in milliseconds. */
const REQUEST_TIME_MS = 10_000;
/** How long the browser's push service may take, in milliseconds. */
const SUBSCRIBE_TIME_MS = 20_000;
/** The longest wait that a server may ask for; where it asks for more, the caller is told. In milliseconds. */
const WAIT_MS_MAX = 15_000;
/** How long another page, or the service worker, may be busy with the same, in milliseconds. */
const TURN_TIME_MS = 60_000;
/** How often a request is sent that the server has no room for. */
const TRIES_MAX = 3;
/** The first wait where the server says none, in milliseconds. It doubles. */
const WAIT_MS_FIRST = 1_000;
/** Most bytes of an answer. */
const ANSWER_BYTES_MAX = 1_048_576;
/** What the server says to whom it does not know. */
const NOBODY = "urn:reveille:problem:unauthorized";
/** What kinds of trouble begin with that are not the server's. */
const OWN = "urn:reveille:client:";

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
export class ReveilleError extends Error {
  /** @param {{ type: string, status?: number, title: string, detail?: string, retryAfterS?: number, cause?: unknown }} problem */
  constructor({ type, status = 0, title, detail = "", retryAfterS, cause }) {
    super([status || undefined, title, detail && `(${detail})`].filter(Boolean).join(" "), { cause });
    this.name = "ReveilleError";
    /** What kind of problem: `urn:reveille:problem:…` of the server, or `urn:reveille:client:` and `unreachable`, `timeout`, `odd-answer`, `permission` or `push-service`. */
    this.type = type;
    /** The status of the answer; 0 where there was none. */
    this.status = status;
    /** What is wrong, for people. */
    this.detail = detail;
    /** In how many seconds it may be tried again, where the server says so. @type {number | undefined} */
    this.retryAfterS = retryAfterS;
  }
}

/** Talks to a Reveille server as this browser's user. */
export class Reveille {
  /** @type {Settings} */
  #settings;

  /** Where the public API is. @type {string} @readonly */
  url;

  /** @param {Settings} settings */
  constructor(settings) {
    this.#settings = settings;
    this.url = String(settings.url).replace(/\/+$/, "");
  }

  /**
   * Subscribes this browser, asking its user for permission if need be: call it when they have pressed a button.
   *
   * @param {{ registration?: ServiceWorkerRegistration }} [options] The service worker's registration, if the page has several.
   * @returns {Promise<Subscription>}
   */
  async subscribe({ registration } = {}) {
    const at = registration ?? (await this.#ready());
    if ((await this.#permission(at)) === "prompt") {
      // Service workers have no such function.
      await globalThis.Notification?.requestPermission?.();
    }
    const permission = await this.#permission(at);
    if (permission !== "granted") {
      throw new ReveilleError({
        type: `${OWN}permission`,
        title: "Notifications are not allowed here",
        detail: permission === "denied" ? "the settings of this site, beside its address, change that" : "the browser's question was not answered",
      });
    }
    return this.#inTurn(() => this.#register(at));
  }

  /**
   * Keeps a browser subscribed that was: call it at each visit. What was changed in the meantime, an endpoint or the server's key, is put right. Asks nobody for anything.
   *
   * @param {{ registration?: ServiceWorkerRegistration }} [options]
   * @returns {Promise<Subscription | null>} null where it is not subscribed.
   */
  async refresh({ registration } = {}) {
    const at = registration ?? (await this.#ready());
    return this.#inTurn(async () => {
      const known = await recall(this.url, "device");
      const there = await this.#byBrowser(() => this.#pushes(at).getSubscription());
      if (!known && !there) {
        return null;
      }
      if ((await this.#permission(at)) !== "granted") {
        await this.#leave();
        return null;
      }
      // What another push service of this site has subscribed stays as it is.
      return known || hasKey(there, await this.#key()) ? this.#register(at) : null;
    });
  }

  /**
   * Ends the subscription, here and at the server. Where that cannot be reached it learns it from the push service.
   *
   * @param {{ registration?: ServiceWorkerRegistration }} [options]
   */
  async unsubscribe({ registration } = {}) {
    const at = registration ?? (await this.#ready());
    await this.#inTurn(async () => {
      try {
        await this.#byBrowser(async () => (await this.#pushes(at).getSubscription())?.unsubscribe());
      } finally {
        // Whatever the browser does: the server wakes it no more.
        await this.#leave();
      }
    });
  }

  /**
   * This browser as the server knows it.
   *
   * @returns {Promise<Subscription | null>} null where it is not subscribed, or has not shown yet that it has its token, where the server asks for that.
   */
  async current() {
    const known = await recall(this.url, "device");
    return known ? this.#call("GET", `/v1/subscriptions/${known.id}`).catch(unlessStatus(404)) : null;
  }

  /**
   * All devices of this user that can be woken.
   *
   * @returns {Promise<Subscription[]>}
   */
  subscriptions() {
    return this.#call("GET", "/v1/subscriptions");
  }

  /**
   * Which event types wake this user.
   *
   * @returns {Promise<Record<string, boolean>>}
   */
  async preferences() {
    return (await this.#call("GET", "/v1/preferences")).types;
  }

  /**
   * Says which do, in the place of what was said before.
   *
   * @param {Record<string, boolean>} types
   * @returns {Promise<Record<string, boolean>>} What holds now.
   */
  async setPreferences(types) {
    return (await this.#call("PUT", "/v1/preferences", { types })).types;
  }

  /**
   * A page of the inbox, newest first.
   *
   * @param {{ before?: string, limit?: number }} [options] `before`: the `next` of the page before. `limit`: 1 to 50.
   * @returns {Promise<Page>}
   */
  async inbox({ before, limit } = {}) {
    const query = new URLSearchParams();
    if (before !== undefined) {
      query.set("before", before);
    }
    if (limit !== undefined) {
      query.set("limit", String(limit));
    }
    // Not by its `size`, which browsers of 2023 do not have.
    const asked = String(query);
    const { text, bytes } = await this.#answer("GET", `/v1/inbox${asked && `?${asked}`}`);
    const { items, next } = parsed(text);
    return { items, next, bytes };
  }

  /**
   * Says what was read. What waits for the devices of this user is cancelled: they have looked.
   *
   * @param {string[] | "all"} which
   */
  async read(which) {
    await this.#call("POST", "/v1/inbox/read", which === "all" ? { all: true } : { ids: which });
  }

  /**
   * Shows that this device has its token: the nonce of a push of type `verifyV1`. The service worker does it.
   *
   * @param {string} nonce
   * @returns {Promise<Subscription | null>} null where nothing waits for this proof.
   */
  async prove(nonce) {
    return this.#inTurn(async () => {
      const known = await recall(this.url, "device");
      const path = `/v1/subscriptions/${known?.id}/verify`;
      /** @type {Subscription | null} */
      const proven = known ? await this.#call("POST", path, { nonce }).catch(unlessStatus(403, 404)) : null;
      if (proven) {
        await keep(this.url, "device", { ...known, id: proven.id });
      }
      return proven;
    });
  }

  /**
   * The name of this device's own user, for whoever sends notifications (`anonymous: true`). There is a new one where none is remembered.
   *
   * @returns {Promise<string>}
   */
  async user() {
    return (await this.#anonymous()).user;
  }

  /** Forgets that user: whoever has this browser next is another one. Nobody can be that user any more. */
  async forget() {
    await this.#inTurn(() => drop(this.url, "device"));
    await this.#inTurn(() => drop(this.url, "user"), "user");
  }

  /**
   * A user whom the server does not know, since its store is another one, is nobody.
   *
   * @param {string} token
   */
  async #disown(token) {
    await this.#inTurn(async () => {
      if ((await recall(this.url, "user"))?.token === token) {
        await drop(this.url, "user");
      }
    }, "user");
  }

  /** @returns {Promise<{ user: string, token: string }>} */
  async #anonymous() {
    return this.#inTurn(async () => {
      const known = await recall(this.url, "user");
      if (known) {
        return known;
      }
      const fresh = parsed((await this.#patiently("POST", "/v1/anonymous", undefined, {})).text);
      await keep(this.url, "user", fresh);
      return fresh;
    }, "user");
  }

  /** @returns {Promise<ServiceWorkerRegistration>} */
  #ready() {
    return within(this.#settings.subscribeTimeMs ?? SUBSCRIBE_TIME_MS, navigator.serviceWorker.ready, "the service worker");
  }

  /**
   * @param {ServiceWorkerRegistration} registration
   * @returns {Pushes}
   */
  #pushes(registration) {
    return this.#settings.pushes?.(registration) ?? registration.pushManager;
  }

  /** @param {ServiceWorkerRegistration} registration */
  #permission(registration) {
    return this.#byBrowser(() => this.#pushes(registration).permissionState({ userVisibleOnly: true }));
  }

  /**
   * Waits for the browser and the push service of its maker, for so long and no longer.
   *
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  async #byBrowser(work) {
    try {
      return await within(this.#settings.subscribeTimeMs ?? SUBSCRIBE_TIME_MS, work(), "the browser's push service");
    } catch (error) {
      if (error instanceof ReveilleError) {
        throw error;
      }
      const detail = error instanceof Error ? error.message : "";
      throw new ReveilleError({ type: `${OWN}push-service`, title: "The browser refuses", detail, cause: error });
    }
  }

  /** What the server signs its pushes with. */
  async #key() {
    return fromBase64url((await this.#call("GET", "/v1/webpush/key")).key);
  }

  /**
   * Sees to it that the browser is subscribed with the server's key, and tells the server.
   *
   * @param {ServiceWorkerRegistration} registration
   * @returns {Promise<Subscription>}
   */
  async #register(registration) {
    const key = await this.#key();
    const browser = await this.#byBrowser(() => subscribed(this.#pushes(registration), key));
    const subscription = { ...browser.toJSON(), applicationServerKey: toBase64url(key) };
    const print = await fingerprint(browser.endpoint);
    const known = await recall(this.url, "device");
    const hasMoved = known !== undefined && known.print !== print;
    /** @type {Subscription | null} */
    const moved = hasMoved
      ? await this.#call("PATCH", `/v1/subscriptions/${known.id}`, { subscription }).catch(unlessStatus(404, 409))
      : null;
    /** @type {Subscription} */
    const registered = moved ?? (await this.#call("POST", "/v1/subscriptions", { provider: "webpush", subscription }));
    await keep(this.url, "device", { id: registered.id, print });
    if (hasMoved && known.id !== registered.id) {
      await this.#delete(known.id);
    }
    return registered;
  }

  /** Forgets this browser, here and at the server. */
  async #leave() {
    const known = await recall(this.url, "device");
    if (known) {
      await drop(this.url, "device");
      await this.#delete(known.id);
    }
  }

  /** @param {string} id */
  async #delete(id) {
    await this.#call("DELETE", `/v1/subscriptions/${id}`).catch(unlessStatus(404));
  }

  /**
   * One after the other: two pages, or a page and the service worker, change nothing at once.
   *
   * @template T
   * @param {() => Promise<T>} work
   * @param {string} [what]
   * @returns {Promise<T>}
   */
  async #inTurn(work, what = "device") {
    const signal = AbortSignal.timeout(TURN_TIME_MS);
    let isUnderWay = false;
    try {
      return await navigator.locks.request(`reveille ${what} ${this.url}`, { signal }, () => {
        isUnderWay = true;
        return work();
      });
    } catch (error) {
      throw isUnderWay ? error : late("another page of this site", error);
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   * @returns {Promise<any>}
   */
  async #call(method, path, body) {
    const { text } = await this.#answer(method, path, body);
    return text === "" ? undefined : parsed(text);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   */
  async #answer(method, path, body) {
    const { headers, anonymous } = this.#settings;
    const given = typeof headers === "function" ? await headers() : headers;
    if (given || !anonymous) {
      return this.#patiently(method, path, body, given ?? {});
    }
    const { token } = await this.#anonymous();
    try {
      return await this.#patiently(method, path, body, { authorization: `Bearer ${token}` });
    } catch (error) {
      if (!(error instanceof ReveilleError) || error.type !== NOBODY) {
        throw error;
      }
    }
    await this.#disown(token);
    return this.#patiently(method, path, body, { authorization: `Bearer ${(await this.#anonymous()).token}` });
  }

  /**
   * One request; where the server has no room for it, again when the server says.
   *
   * @param {string} method
   * @param {string} path
   * @param {unknown} body
   * @param {HeadersInit} headers
   * @returns {Promise<Whole>}
   */
  async #patiently(method, path, body, headers) {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#once(method, path, body, headers);
      } catch (error) {
        const hasNoRoom = error instanceof ReveilleError && [429, 503].includes(error.status);
        const waitMs = hasNoRoom ? (error.retryAfterS ?? 0) * 1_000 || WAIT_MS_FIRST * 2 ** (tries - 1) : 0;
        if (!hasNoRoom || tries === TRIES_MAX || waitMs > (this.#settings.waitMsMax ?? WAIT_MS_MAX)) {
          throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, waitMs));
      }
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {unknown} body
   * @param {HeadersInit} given
   * @returns {Promise<Whole>}
   */
  async #once(method, path, body, given) {
    const headers = new Headers(given);
    /** @type {RequestInit} */
    const request = {
      method,
      headers,
      credentials: this.#settings.credentials ?? "same-origin",
      signal: AbortSignal.timeout(this.#settings.requestTimeMs ?? REQUEST_TIME_MS),
      cache: "no-store",
      redirect: "error",
    };
    if (body !== undefined) {
      headers.set("content-type", "application/json");
      request.body = JSON.stringify(body);
    }
    /** @type {Response} */
    let answer;
    /** @type {Whole} */
    let read;
    try {
      answer = await fetch(this.url + path, request);
      read = await whole(answer);
    } catch (error) {
      if (error instanceof ReveilleError) {
        throw error;
      }
      const isLate = error instanceof DOMException && error.name === "TimeoutError";
      throw isLate ? late("the server", error) : unreachable(error);
    }
    if (!answer.ok) {
      throw refused(answer, read.text);
    }
    return read;
  }
}

/**
 * Subscribed with this key, as before or anew.
 *
 * @param {Pushes} pushes
 * @param {Uint8Array<ArrayBuffer>} key
 * @returns {Promise<BrowserSubscription>}
 */
async function subscribed(pushes, key) {
  const known = await pushes.getSubscription();
  if (known && hasKey(known, key)) {
    return known;
  }
  await known?.unsubscribe();
  return pushes.subscribe({ userVisibleOnly: true, applicationServerKey: key });
}

/**
 * Whether a subscription was made with this key.
 *
 * @param {BrowserSubscription | null} subscription
 * @param {Uint8Array<ArrayBuffer>} key
 */
function hasKey(subscription, key) {
  const used = new Uint8Array(subscription?.options.applicationServerKey ?? new ArrayBuffer(0));
  return used.length === key.length && used.every((byte, index) => byte === key[index]);
}

/**
 * A body, up to its bound.
 *
 * @param {Response} answer
 * @returns {Promise<Whole>}
 */
async function whole(answer) {
  const reader = answer.body?.getReader();
  const decoder = new TextDecoder();
  let [text, bytes] = ["", 0];
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    bytes += part.value.length;
    if (bytes > ANSWER_BYTES_MAX) {
      await reader?.cancel();
      throw odd(`it has more than ${ANSWER_BYTES_MAX} bytes`);
    }
    text += decoder.decode(part.value, { stream: true });
  }
  return { text: text + decoder.decode(), bytes };
}

/**
 * @param {string} text
 * @returns {any}
 */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw odd("it is not JSON");
  }
}

/**
 * What the server says against it.
 *
 * @param {Response} answer
 * @param {string} text
 */
function refused(answer, text) {
  /** @type {Record<string, unknown>} */
  let problem = {};
  try {
    problem = Object(JSON.parse(text));
  } catch {
    // A proxy's page.
  }
  const word = (/** @type {string} */ name) => (typeof problem[name] === "string" ? problem[name] : undefined);
  return new ReveilleError({
    type: word("type") ?? "about:blank",
    status: answer.status,
    title: word("title") ?? "The server refuses",
    detail: word("detail"),
    retryAfterS: retryAfter(answer.headers.get("retry-after")),
  });
}

/**
 * `Retry-After`, in seconds from now (RFC 9110 §10.2.3).
 *
 * @param {string | null} value
 * @returns {number | undefined}
 */
function retryAfter(value) {
  const text = value?.trim() ?? "";
  if (/^\d+$/.test(text)) {
    return Number(text);
  }
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : Math.max(0, Math.ceil((at - Date.now()) / 1_000));
}

/**
 * Lets an error of such a status be null.
 *
 * @param {number[]} statuses
 * @returns {(error: unknown) => null}
 */
function unlessStatus(...statuses) {
  return (error) => {
    if (error instanceof ReveilleError && statuses.includes(error.status)) {
      return null;
    }
    throw error;
  };
}

/**
 * @template T
 * @param {number} ms
 * @param {Promise<T>} work
 * @param {string} who
 * @returns {Promise<T>}
 */
export async function within(ms, work, who) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {Promise<never>} */
  const end = new Promise((_, reject) => {
    timer = setTimeout(() => reject(late(who)), ms);
  });
  return Promise.race([work, end]).finally(() => clearTimeout(timer));
}

/** @param {string} who @param {unknown} [cause] */
const late = (who, cause) =>
  new ReveilleError({ type: `${OWN}timeout`, title: "It takes too long", detail: `${who} does not answer`, cause });
/** @param {unknown} cause */
const unreachable = (cause) =>
  new ReveilleError({ type: `${OWN}unreachable`, title: "The server cannot be reached", detail: "or does not let this site ask it", cause });
/** @param {string} detail */
const odd = (detail) => new ReveilleError({ type: `${OWN}odd-answer`, title: "The answer makes no sense", detail });

/** @param {string} text */
function fromBase64url(text) {
  const bytes = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(bytes, (letter) => letter.charCodeAt(0));
}

/** @param {Uint8Array} bytes */
function toBase64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/**
 * Tells endpoints apart without keeping them.
 *
 * @param {string} endpoint
 */
async function fingerprint(endpoint) {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(endpoint));
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
