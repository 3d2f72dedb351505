/* Checks the receipt that the page holds, step by step, and says what came of it. */

import { CannotCheck, openConsortium, Refused, verifyReceipt } from "./verify.js";

const at = (id) => document.getElementById(id);
const steps = [...at("steps").children];
const labels = JSON.parse(at("facts").dataset.words);

const marked = (step, mark) => {
  const line = steps.find((one) => one.dataset.step === step);
  if (line) line.append(mark);
};
const told = (step) => marked(step, " ✓");
const conclude = (verdict) => {
  at("verdict").dataset.verdict = verdict;
  at("verdict").textContent = at("verdict").dataset[verdict];
};
/* "aspen/income": "given" in words; what has none is said as it stands. */
const sentence = ([about, state], consortium) => {
  const [recipient, kind] = about.split("/");
  const party = consortium.parties.find((one) => one.id === recipient);
  return `${party?.name ?? recipient} · ${labels[kind] ?? kind}: ${labels[state] ?? state}`;
};
const line = (words) => {
  const one = document.createElement("div");
  one.textContent = words;
  return one;
};
const forget = () => {
  at("facts").hidden = true;
  at("said").replaceChildren();
  steps.forEach((one) => (one.textContent = one.textContent.replace(/ [✓✗]$/, "")));
  conclude("unchecked");
};

/* The fingerprint of the registry that the receipt names, once the receipt verifies. */
export const check = async () => {
  forget();
  try {
    const consortium = await openConsortium(at("consortium").value);
    told("consortium");
    const { receipt, head, index } = await verifyReceipt(at("receipt").value, consortium, told);
    const states = Object.entries(receipt.states);
    at("said").append(...states.map((one) => line(sentence(one, consortium))));
    const { lang, dataset } = document.documentElement;
    const written = { dateStyle: "long", timeStyle: "long", timeZone: dataset.zone };
    at("issued").textContent = new Date(receipt.issued_at).toLocaleString(lang, written);
    at("index").textContent = String(index);
    at("witnesses").textContent = head.witnesses.join(", ") || "–";
    at("fingerprint").textContent = consortium.fingerprint;
    at("facts").hidden = false;
    conclude("verified");
    return consortium.fingerprint;
  } catch (error) {
    marked(error.step, " ✗");
    conclude(error instanceof CannotCheck || !(error instanceof Refused) ? "cannot" : "refused");
    return null;
  }
};

if (at("receipt").value) await check();
