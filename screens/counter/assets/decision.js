/* Checks the receipt of a decision: the lender signed it, what was stated before data were read and
   before the decision had effect stands in the witnessed log, and commits to this very decision. */

import {
  CannotCheck, hashOf, openConsortium, openDocument, proveEntry, Refused,
} from "./verify.js";

const at = (id) => document.getElementById(id);
const steps = [...at("steps").children];
const told = (step) => steps.find((one) => one.dataset.step === step).append(" ✓");
const must = (holds, step) => {
  if (!holds) throw new Refused(step);
};
const labels = JSON.parse(at("facts").dataset.words);
const conclude = (verdict) => {
  at("verdict").dataset.verdict = verdict;
  at("verdict").textContent = at("verdict").dataset[verdict];
};
const SCORING = "https://w3id.org/tahini/purposes#ApplicationScoring";

/* A statement, signed by the lender, whose entry stands in the log. */
const stated = async (part, step, key, name, receipt, consortium) => {
  try {
    const said = await openDocument(part.token, "tahini-use", key);
    const found = await proveEntry(part.entry, part.proof, consortium.policy);
    const { entry } = found;
    must(entry?.type === step && entry.actor === receipt.lender, step);
    must(entry.use?.statement === (await hashOf(said)) && entry.use.application === name, step);
    must(said.step === step && said.lender === receipt.lender, step);
    must(said.pii_principal_id === receipt.pii_principal_id && said.purpose === SCORING, step);
    must(said.application === name, step);
    return { said, ...found };
  } catch (error) {
    throw new (error instanceof CannotCheck ? CannotCheck : Refused)(step.slice(4));
  }
};

const verifyDecision = async (token, lender, consortium) => {
  const party = consortium.parties.find((one) => one?.id === lender && one.role === "lender");
  must(party, "document");
  const receipt = await openDocument(token, "tahini-decision-receipt", party.signing_key);
  must(receipt.lender === lender, "document");
  told("document");
  const { salt, application, decision } = receipt;
  const name = await hashOf({ salt, application });
  const first = receipt.first_salt;
  const follows = first && (await hashOf({ salt: first, application: decision.application }));
  const parts = [];
  for (const step of ["read", "scored", "explained"]) {
    if (!receipt[step]) continue;
    const key = party.signing_key;
    parts.push(await stated(receipt[step], `use.${step}`, key, name, receipt, consortium));
    if (step !== "explained") told(step);
  }
  const [read, scored] = parts;
  must(parts.every(({ said }) => (said.follows ?? undefined) === follows), "commitment");
  must(scored && parts.every((one, i) => !i || parts[i - 1].index < one.index), "commitment");
  must(scored.said.case === (await hashOf({ salt, case: decision.case_hash })), "commitment");
  const own = await hashOf({ salt, decision });
  must(scored.said.decision === own, "commitment");
  must(parts.every(({ said }) => !said.decision || said.decision === own), "commitment");
  const named = new Map(read.said.consents.map((one) => [one.record_id, one.categories]));
  const covered = ({ record_id: id, categories }) =>
    categories.every((kind) => named.get(id)?.includes(kind));
  must(scored.said.consents.every(covered), "commitment");
  const asked = read.said.sources;
  const answered = Object.entries(scored.said.sources);
  must(answered.every(([source, kind]) => asked[source] === kind), "commitment");
  told("commitment");
  return { parts, decision, party };
};

try {
  const consortium = await openConsortium(at("consortium").value);
  told("consortium");
  const { parts, decision, party } = await verifyDecision(at("receipt").value, at("lender").value, consortium);
  const { lang, dataset } = document.documentElement;
  const written = { dateStyle: "long", timeStyle: "long", timeZone: dataset.zone };
  at("said").textContent = labels[decision.outcome] ?? decision.outcome;
  at("by").textContent = party.name;
  at("of").textContent = decision.application;
  at("decided").textContent = new Date(decision.decided_at).toLocaleString(lang, written);
  at("index").textContent = parts.map((one) => one.index).join(", ");
  at("witnesses").textContent = parts[0].head.witnesses.join(", ") || "–";
  at("fingerprint").textContent = consortium.fingerprint;
  at("facts").hidden = false;
  conclude("verified");
} catch (error) {
  const line = steps.find((one) => one.dataset.step === error.step);
  if (line) line.append(" ✗");
  conclude(error instanceof CannotCheck || !(error instanceof Refused) ? "cannot" : "refused");
}
