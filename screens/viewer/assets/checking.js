/* What the two pages that check something have in common. */

import { CannotCheck, openConsortium, Refused } from "./verify.js";

export const at = (id) => document.getElementById(id);
export const value = (id) => at(id).value;
export const hashes = (words) => (words ? words.split(" ").map(unhex) : []);
export const unhex = (text) =>
  Uint8Array.from(text.match(/[0-9a-f]{2}/g), (pair) => Number.parseInt(pair, 16));

const steps = () => [...at("browser-steps").children];
export const told = (step) => {
  steps().find((one) => one.dataset.step === step).dataset.state = "held";
};

/* The consortium document, if it is signed with the key that was pinned. */
export const pinnedConsortium = async () => {
  const consortium = await openConsortium(value("consortium"));
  if (consortium.key !== value("pinned")) throw new Refused("consortium");
  told("consortium");
  return consortium;
};

/* Run the checks and say what came of them: one of the four words, never a bare tick. */
export const conclude = async (checks) => {
  const verdict = at("browser-verdict");
  let found = "verified";
  try {
    await checks();
  } catch (error) {
    const cannot = error instanceof CannotCheck || !(error instanceof Refused);
    const line = steps().find((one) => one.dataset.step === error.step);
    if (line && !cannot) line.dataset.state = "failed";
    found = cannot ? "cannot" : "refused";
  }
  verdict.dataset.verdict = found;
  verdict.textContent = verdict.dataset[found];
  at("browser").dataset.state = found;
};
