/* A key of this device: Ed25519, never to be taken out of the browser, kept beside the log's head.
   Signed documents are those of crypto/documents.py: a compact JWS over canonical JSON. */

import { canonical, sha256 } from "./verify.js";

const utf8 = new TextEncoder();
const subtle = globalThis.crypto?.subtle;
const base64url = (raw) =>
  btoa(String.fromCharCode(...raw)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/* Throws where this browser has no Ed25519. */
export const newKey = async () => {
  const { privateKey, publicKey } = await subtle.generateKey("Ed25519", false, ["sign", "verify"]);
  const raw = new Uint8Array(await subtle.exportKey("raw", publicKey));
  return { privateKey, text: base64url(raw), thumbprint: base64url(await sha256(raw)) };
};

export const sign = async (typ, payload, key) => {
  const part = (value) => base64url(utf8.encode(canonical(value)));
  const message = `${part({ alg: "Ed25519", kid: key.thumbprint, typ })}.${part(payload)}`;
  const signature = await subtle.sign("Ed25519", key.privateKey, utf8.encode(message));
  return `${message}.${base64url(new Uint8Array(signature))}`;
};

export const random = () => base64url(crypto.getRandomValues(new Uint8Array(16)));

/* The server's time when the page was made, and what has gone since: a device's clock may be wrong. */
export const instant = (madeAt) =>
  new Date(1000 * Math.floor(madeAt + performance.now() / 1000)).toISOString().replace(".000Z", "Z");
