// Who this browser is: an anonymous user, kept where the page and the service worker both find it.

const CACHE = "reveille-demo";
const KEY = "/session";

/** The session, or undefined. @returns {Promise<{user: string, token: string, url: string} | undefined>} */
export async function session() {
  const stored = await (await caches.open(CACHE)).match(KEY);
  return stored?.json();
}

/** Remembers it. */
export async function keep(session) {
  await (await caches.open(CACHE)).put(KEY, Response.json(session));
}

/** One request to the public API, as this browser's user. */
export async function call(session, method, path, body) {
  const headers = { authorization: `Bearer ${session.token}` };
  if (body !== undefined) {
    headers["content-type"] = "application/json";
  }
  const answer = await fetch(session.url + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) {
    const problem = JSON.parse(text || "{}");
    throw new Error(`${answer.status} ${problem.title ?? ""}: ${problem.detail ?? ""}`);
  }
  return { bytes: text.length, json: text ? JSON.parse(text) : undefined };
}
