// Keys as a browser makes them for a subscription (RFC 8291 §3.1), by WebCrypto: a browser gives out none of its own private keys.

/** Base64url without padding. */
export const toBase64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** A P-256 key pair and an authentication secret, in base64url. */
export async function makeKeys() {
  const pair = await crypto.subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, true, ["deriveBits"]);
  const { d } = await crypto.subtle.exportKey("jwk", pair.privateKey);
  const point = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  const auth = crypto.getRandomValues(new Uint8Array(16));
  return { private_key: d, p256dh: toBase64url(point), auth: toBase64url(auth) };
}
