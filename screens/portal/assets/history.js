/* Demands of the log, at every visit, that it extends what this browser saw of it before. What a
   browser has seen once can then not be taken out of the record, for this reader, unseen. */

import { keepNewer, kept } from "./store.js";
import { bytes, CannotCheck, openConsortium, openHead, Refused, verifyConsistency } from "./verify.js";

const at = (id) => document.getElementById(id);
const { lang, dataset } = document.documentElement;
const written = { dateStyle: "long", timeStyle: "long", timeZone: dataset.zone };
const day = (moment) => new Date(moment).toLocaleString(lang, written);
const conclude = (verdict) => {
  at("log").dataset.verdict = verdict;
  at("log").textContent = at("log").dataset[verdict];
};

class NotTold extends Error {}
class Rewritten extends Error {
  constructor(now) {
    super("rewritten");
    this.now = now;
  }
}

const told = async (size) => {
  const answer = await fetch(`/log/head?since=${size}`, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new NotTold();
  return answer.json();
};

/* The head that is told now, if it is another state of the log that was kept. */
const extended = async (old, { checkpoint, consortium, proof }) => {
  const registry = await openConsortium(consortium);
  const head = await openHead(checkpoint, registry.policy);
  const now = { ...head, note: checkpoint, fingerprint: registry.fingerprint, at: Date.now() };
  if (!old) return now;
  const mine = old.fingerprint === now.fingerprint && old.origin === now.origin;
  if (!mine || !Array.isArray(proof)) throw new Rewritten(now);
  const [first, second] = old.size <= now.size ? [old, now] : [now, old];
  try {
    await verifyConsistency(first, second, proof.map((one) => bytes(String(one), "consistency")));
  } catch (error) {
    if (error instanceof Refused) throw new Rewritten(now);
    throw error;
  }
  return now;
};

let old;
try {
  old = await kept("head");
  const now = await extended(old, await told(old?.size ?? 0));
  if (now.size > 0) await keepNewer("head", now);
  const older = Boolean(old) && now.size < old.size;
  conclude(older ? "unchecked" : "verified"); /* an earlier state of it hides what came since */
  if (old && !older) {
    at("since").textContent = day(old.at);
    at("extends").hidden = false;
  }
} catch (error) {
  if (error instanceof NotTold) conclude("unchecked");
  else if (error instanceof CannotCheck) conclude("cannot");
  else if (error instanceof Rewritten || error instanceof Refused) {
    conclude("refused");
    at("rewritten").hidden = false;
    if (error instanceof Rewritten) {
      at("seen").textContent = day(old.at);
      at("before").textContent = old.note;
      at("after").textContent = error.now.note;
      at("evidence").hidden = false;
    }
  } else conclude("cannot");
}
