/* Checks what the log and the registry signed, in the reader's browser and with WebCrypto alone.

   Documents: compact JWS (RFC 7515) over canonical JSON (RFC 8785), Ed25519 (RFC 9864).
   Heads and proofs: C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof, tlog-policy;
   trees: RFC 9162. What crypto/ refuses is refused here; the same vectors are tried on both.

   Refused: it does not verify, and `step` says at which step.
   CannotCheck: this browser lacks an algorithm, so nothing is said either way. */

const subtle = globalThis.crypto?.subtle;
const utf8 = new TextEncoder();
const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const [ED25519, COSIGNED_ED25519, COSIGNED_ML_DSA] = [1, 4, 6];

export class Refused extends Error {
  constructor(step) {
    super(step);
    this.step = step;
  }
}
export class CannotCheck extends Refused {}

const need = (holds, step) => {
  if (!holds) throw new Refused(step);
};

/* Bytes. Base64 in its one canonical form only: an altered last character is altered text. */
export const bytes = (encoded, step, url = false) => {
  const plain = url ? encoded.replaceAll("-", "+").replaceAll("_", "/") : encoded;
  const padded = url ? plain + "=".repeat(-plain.length & 3) : plain;
  need(url ? /^[\w-]*$/.test(encoded) : true, step);
  let raw;
  try {
    raw = atob(padded);
  } catch {
    need(false, step);
  }
  need(btoa(raw) === padded, step);
  return Uint8Array.from(raw, (c) => c.charCodeAt(0));
};
const same = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);
const join = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));
const hex = (raw) => [...raw].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const big = (number) => {
  const raw = new Uint8Array(8);
  new DataView(raw.buffer).setBigUint64(0, BigInt(number));
  return raw;
};
export const sha256 = async (...parts) =>
  new Uint8Array(await subtle.digest("SHA-256", join(...parts)));

/* RFC 8785: JSON.stringify is its form of strings and numbers, and UTF-16 order its order. */
export const canonical = (value) => {
  if (Array.isArray(value)) return `[${value.map(canonical)}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((k) => `${JSON.stringify(k)}:${canonical(value[k])}`)}}`;
};
const parsed = (raw, step) => {
  try {
    return JSON.parse(text.decode(raw));
  } catch {
    throw new Refused(step);
  }
};

const signed = async (algorithm, format, key, signature, message, step) => {
  let imported;
  try {
    imported = await subtle.importKey(format, key, algorithm, false, ["verify"]);
  } catch (error) {
    throw new (error.name === "NotSupportedError" || error instanceof TypeError
      ? CannotCheck
      : Refused)(step);
  }
  need(await subtle.verify(algorithm, imported, signature, message), step);
};
const ed25519 = (...rest) => signed("Ed25519", "raw", ...rest);

/* The payload of a signed document of type `typ`, under a 32-byte key in base64url. */
export const openDocument = async (token, typ, key, step = "document") => {
  const parts = token.split(".");
  need(parts.length === 3, step);
  const [head, body, signature] = parts.map((part) => bytes(part, step, true));
  const header = parsed(head, step);
  need(header?.alg === "Ed25519" && header.typ === typ && !("crit" in header), step);
  const message = utf8.encode(`${parts[0]}.${parts[1]}`);
  await ed25519(bytes(key, step, true), signature, message, step);
  return parsed(body, step);
};

/* Who belongs, with which keys. Nobody vouches for this document but whoever reads its
   fingerprint: the registry's key in it has signed it. */
export const openConsortium = async (token) => {
  const body = bytes(token.split(".")[1] ?? "", "consortium", true);
  const parties = parsed(body, "consortium")?.parties;
  const registry = Array.isArray(parties) && parties.find((one) => one?.role === "registry");
  need(typeof registry?.signing_key === "string", "consortium");
  const key = registry.signing_key;
  const document = await openDocument(token, "tahini-consortium", key, "consortium");
  return {
    name: document.name,
    key,
    parties: document.parties,
    policy: await openPolicy(document.log_policy),
    fingerprint: hex(await sha256(bytes(key, "consortium", true))),
  };
};

const openKey = async (vkey) => {
  const [name, id, ...rest] = vkey.split("+");
  const material = bytes(rest.join("+"), "policy");
  const own = (await sha256(utf8.encode(`${name}\n`), material)).slice(0, 4);
  need(name && hex(own) === id && material.length > 1, "policy");
  return { name, id: own, kind: material[0], raw: material.slice(1) };
};

/* C2SP tlog-policy; what names nobody, or somebody twice, is no policy. */
export const openPolicy = async (source) => {
  const policy = { logs: [], witnesses: [], groups: [], quorum: undefined };
  const named = new Set(["none"]);
  const free = new Set();
  const fresh = (name) => {
    need(name && !named.has(name), "policy");
    named.add(name);
    free.add(name);
  };
  need(source.endsWith("\n"), "policy");
  for (const line of source.split("\n")) {
    const [what, ...words] = line.trim().split(/[ \t]+/);
    if (!what || what[0] === "#") continue;
    if (what === "log" && words.length && words.length <= 2) {
      const key = await openKey(words[0]);
      need(key.kind === ED25519 && key.raw.length === 32, "policy");
      policy.logs.push(key);
    } else if (what === "witness" && words.length >= 2 && words.length <= 3) {
      const key = await openKey(words[1]);
      const size = { [COSIGNED_ED25519]: 32, [COSIGNED_ML_DSA]: 1312 }[key.kind];
      need(key.raw.length === size, "policy");
      fresh(words[0]);
      policy.witnesses.push({ key, called: words[0] });
    } else if (what === "group" && words.length > 2) {
      const [name, rule, ...members] = words;
      need(/^(any|all|[1-9]\d{0,3})$/.test(rule), "policy");
      const threshold = { any: 1, all: members.length }[rule] ?? Number(rule);
      need(threshold <= members.length && members.every((one) => free.delete(one)), "policy");
      fresh(name);
      policy.groups.push({ name, threshold, members });
    } else if (what === "quorum" && words.length === 1) {
      need(policy.quorum === undefined && named.has(words[0]), "policy");
      policy.quorum = words[0];
    } else need(false, "policy");
  }
  const keys = [...policy.logs, ...policy.witnesses.map((one) => one.key)].map((k) => hex(k.raw));
  need(policy.quorum && policy.logs.length && new Set(keys).size === keys.length, "policy");
  return policy;
};

const satisfied = (policy, names) => {
  const witnessed = new Set(names);
  for (const { name, threshold, members } of policy.groups)
    if (members.filter((one) => witnessed.has(one)).length >= threshold) witnessed.add(name);
  return policy.quorum === "none" || witnessed.has(policy.quorum);
};

const openCheckpoint = (body) => {
  const lines = body.split("\n");
  need(lines.length >= 4 && lines.pop() === "" && lines.every(Boolean), "head");
  need(/^(0|[1-9]\d{0,14})$/.test(lines[1]), "head");
  const root = bytes(lines[2], "head");
  need(root.length === 32, "head");
  return { origin: lines[0], size: Number(lines[1]), root };
};

/* What a witness signs: a dated note (Ed25519), or a subtree of the log (ML-DSA-44). */
const cosigned = (key, stamp, body, head) => {
  if (key.kind === COSIGNED_ED25519)
    return utf8.encode(`cosignature/v1\ntime ${new DataView(stamp.buffer).getBigUint64(0)}\n${body}`);
  const [mine, origin] = [key.name, head.origin].map((name) => utf8.encode(name));
  return join(
    utf8.encode("subtree/v1\n\0"),
    [mine.length], mine, stamp, [origin.length], origin, big(0), big(head.size), head.root,
  );
};

/* The head in a note, if a log of the policy signed it and its quorum cosigned it. */
export const openHead = async (note, policy) => {
  const end = note.lastIndexOf("\n\n");
  need(end > 0 && note.endsWith("\n") && !/[\0-\x09\x0b-\x1f]/.test(note), "head");
  const body = note.slice(0, end + 1);
  const lines = note.slice(end + 2, -1).split("\n");
  need(lines.length <= 64, "head");
  const head = openCheckpoint(body);
  const [witnesses, unchecked] = [new Set(), new Set()];
  let own = false;
  for (const line of lines) {
    const [, name, encoded] = /^— (\S+) (\S+)$/.exec(line) ?? [];
    need(name, "head");
    const signature = bytes(encoded, "head");
    need(signature.length > 4, "head");
    const mine = (key) => key.name === name && same(key.id, signature.slice(0, 4));
    for (const key of policy.logs.filter(mine)) {
      await ed25519(key.raw, signature.slice(4), utf8.encode(body), "head");
      own ||= key.name === head.origin;
    }
    for (const { key, called } of policy.witnesses.filter((one) => mine(one.key))) {
      const [stamp, rest] = [signature.slice(4, 12), signature.slice(12)];
      const time = rest.length && new DataView(stamp.buffer).getBigInt64(0);
      need(time > 0n, "witnesses");
      const message = cosigned(key, stamp, body, head);
      try {
        if (key.kind === COSIGNED_ED25519) await ed25519(key.raw, rest, message, "witnesses");
        else await signed("ML-DSA-44", "raw-public", key.raw, rest, message, "witnesses");
        witnesses.add(called);
      } catch (error) {
        if (!(error instanceof CannotCheck)) throw error;
        unchecked.add(called);
      }
    }
  }
  need(own, "head");
  if (!satisfied(policy, witnesses)) {
    need(satisfied(policy, [...witnesses, ...unchecked]), "witnesses");
    throw new CannotCheck("witnesses");
  }
  return { ...head, witnesses: [...witnesses] };
};

const leafHash = (entry) => sha256([0], entry);
const nodeHash = (left, right) => sha256([1], left, right);
const half = (number) => Math.floor(number / 2);
const odd = (number) => number % 2 === 1;
const hashes = (all) => need(all.every((one) => one.length === 32), "proof");

/* RFC 9162 section 2.1.3.2. */
export const verifyInclusion = async (leaf, index, size, path, root) => {
  need(index >= 0 && index < size, "proof");
  hashes([leaf, root, ...path]);
  let [at, last, found] = [index, size - 1, leaf];
  for (const sibling of path) {
    need(last > 0, "proof");
    if (odd(at) || at === last) {
      found = await nodeHash(sibling, found);
      while (!odd(at) && at) [at, last] = [half(at), half(last)];
    } else found = await nodeHash(found, sibling);
    [at, last] = [half(at), half(last)];
  }
  need(last === 0 && same(found, root), "proof");
};

/* RFC 9162 section 2.1.4.2: the newer tree extends the older one. */
export const verifyConsistency = async (older, newer, proof) => {
  need(older.size > 0 && older.size <= newer.size, "consistency");
  hashes([older.root, newer.root, ...proof]);
  if (older.size === newer.size) {
    need(!proof.length && same(older.root, newer.root), "consistency");
    return;
  }
  const path = Number.isInteger(Math.log2(older.size)) ? [older.root, ...proof] : [...proof];
  need(proof.length, "consistency");
  let [at, last] = [older.size - 1, newer.size - 1];
  while (odd(at)) [at, last] = [half(at), half(last)];
  let [first, second] = [path[0], path[0]];
  for (const sibling of path.slice(1)) {
    need(last > 0, "consistency");
    if (odd(at) || at === last) {
      [first, second] = [await nodeHash(sibling, first), await nodeHash(sibling, second)];
      while (!odd(at) && at) [at, last] = [half(at), half(last)];
    } else second = await nodeHash(second, sibling);
    [at, last] = [half(at), half(last)];
  }
  need(last === 0 && same(first, older.root) && same(second, newer.root), "consistency");
};

const openProof = (source) => {
  const end = source.indexOf("\n\n");
  const lines = source.slice(0, Math.max(end, 0)).split("\n");
  if (lines[1]?.startsWith("extra ")) lines.splice(1, 1);
  const [, index] = /^index (0|[1-9]\d{0,14})$/.exec(lines[1] ?? "") ?? [];
  need(lines[0] === "c2sp.org/tlog-proof@v1" && index && lines.length <= 66, "proof");
  const path = lines.slice(2).map((line) => bytes(line, "proof"));
  return { index: Number(index), path, note: source.slice(end + 2) };
};

export const hashOf = async (value) => hex(await sha256(utf8.encode(canonical(value))));

/* An entry of the log, if it stands there under a head that was witnessed. */
export const proveEntry = async (encoded, source, policy, told = () => {}) => {
  const proof = openProof(source);
  const head = await openHead(proof.note, policy);
  told("head");
  told("witnesses");
  const leaf = bytes(encoded, "proof", true);
  await verifyInclusion(await leafHash(leaf), proof.index, head.size, proof.path, head.root);
  told("proof");
  return { entry: parsed(leaf, "commitment"), head, index: proof.index };
};

/* A receipt of a consent: signed by the registry, and its entry, which commits to the decision
   and to what it made of the consents, stands in the witnessed log. Tells each step as it holds. */
export const verifyReceipt = async (token, consortium, told = () => {}) => {
  const receipt = await openDocument(token, "tahini-consent-receipt", consortium.key);
  told("document");
  const found = await proveEntry(receipt.entry, receipt.proof, consortium.policy, told);
  const { salt, decision_sha256: decision, states } = receipt;
  const stated = await hashOf({ salt, decision, states });
  const { entry, head, index } = found;
  need(entry?.type === "consent.decided" && entry.decision === stated, "commitment");
  told("commitment");
  return { receipt, head, index };
};
