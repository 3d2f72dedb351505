/* Checks the receipt that the page holds, step by step, and says what came of it. */

import { kindOf, verifyStep } from "./asked.js";
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
const word = (name) => (Object.hasOwn(labels, name) ? labels[name] : name);
const called = (id, { parties }) => parties.find((one) => one.id === id)?.name ?? id;
/* "aspen/income": "given" in words; what has none is said as it stands. */
const sentence = ([about, state], consortium) => {
  const [recipient, kind] = about.split("/");
  return `${called(recipient, consortium)} · ${word(kind)}: ${word(state)}`;
};
/* What a step of a request says, in words: of which request, when, what was asked of whom in whose
   words, until when. */
const recorded = ({ step }, asked, consortium, day) => {
  const lines = [`${labels.request} ${step.request_sha256.slice(0, 12)}…`];
  lines.push(`${word(step.event)}: ${day(step.at)}`);
  if (asked) {
    const { kind, text, features, relation, transfer_to: to } = asked.asked;
    lines.push(`${called(asked.recipient, consortium)} · ${word(kind)}`);
    if (features.length) lines.push(features.join(", "));
    if (to) lines.push(to);
    if (relation !== "self") lines.push(relation);
    if (text) lines.push(`“${text}”`);
  }
  if (step.due_at) lines.push(`${labels.due} ${day(step.due_at)}`);
  return lines;
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
    const token = at("receipt").value;
    const verify = kindOf(token) === "tahini-rights-receipt" ? verifyStep : verifyReceipt;
    const { receipt, asked, head, index } = await verify(token, consortium, told);
    const about = at("about")?.value;
    if (about && receipt.step?.request_sha256 !== about) throw new Refused("commitment");
    const { lang, dataset } = document.documentElement;
    const written = { dateStyle: "long", timeStyle: "long", timeZone: dataset.zone };
    const day = (moment) => new Date(moment).toLocaleString(lang, written);
    const lines = receipt.step
      ? recorded(receipt, asked, consortium, day)
      : Object.entries(receipt.states).map((one) => sentence(one, consortium));
    at("said").append(...lines.map(line));
    at("issued").textContent = day(receipt.issued_at);
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
