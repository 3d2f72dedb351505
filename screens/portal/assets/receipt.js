/* Checks the receipt that the page holds, step by step, and says what came of it. */

import { CannotCheck, openConsortium, Refused, verifyReceipt } from "./verify.js";

const at = (id) => document.getElementById(id);
const steps = [...at("steps").children];

const told = (step) => {
  const line = steps.find((one) => one.dataset.step === step);
  line.append(" ✓");
};
const conclude = (verdict) => {
  at("verdict").dataset.verdict = verdict;
  at("verdict").textContent = at("verdict").dataset[verdict];
};

try {
  const consortium = await openConsortium(at("consortium").value);
  told("consortium");
  const found = await verifyReceipt(at("receipt").value, consortium, told);
  at("index").textContent = String(found.index);
  at("witnesses").textContent = found.head.witnesses.join(", ") || "–";
  at("fingerprint").textContent = consortium.fingerprint;
  at("facts").hidden = false;
  conclude("verified");
} catch (error) {
  const line = steps.find((one) => one.dataset.step === error.step);
  if (line) line.append(" ✗");
  conclude(error instanceof CannotCheck || !(error instanceof Refused) ? "cannot" : "refused");
}
