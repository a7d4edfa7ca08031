// What is remembered on this device, where the page and its service worker both find it.

/** The name of its cache. */
const CACHE = "reveille";

/**
 * @param {string} at The server it is about.
 * @param {string} name
 */
const place = (at, name) => `${globalThis.location.origin}/.reveille/${name}?${encodeURIComponent(at)}`;

/**
 * What is remembered under a name; undefined where nothing is.
 *
 * @param {string} at
 * @param {string} name
 * @returns {Promise<any>}
 */
export async function recall(at, name) {
  const stored = await (await caches.open(CACHE)).match(place(at, name));
  return stored?.json();
}

/**
 * Remembers it.
 *
 * @param {string} at
 * @param {string} name
 * @param {unknown} value
 */
export async function keep(at, name, value) {
  await (await caches.open(CACHE)).put(place(at, name), new Response(JSON.stringify(value)));
}

/**
 * Remembers it no longer.
 *
 * @param {string} at
 * @param {string} name
 */
export async function drop(at, name) {
  await (await caches.open(CACHE)).delete(place(at, name));
}
