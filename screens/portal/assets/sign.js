/* Signs a yes with the key of this device before the form is sent, one document for each lender.
   Where there is no key, or nothing but a no, the form goes as it is: a no never needs a key. */

import { instant, random, sign } from "./device.js";
import { presentation } from "./reading.js";
import { kept } from "./store.js";

const form = document.getElementById("answers");
const { people, now } = JSON.parse(form.dataset.signing);
const keys = {};
for (const [lender, { thumbprints }] of Object.entries(people))
  for (const thumbprint of thumbprints) keys[lender] ??= await kept(`key ${thumbprint}`);

const chosen = () => {
  const found = {};
  for (const one of form.querySelectorAll("input[type=radio]:checked")) {
    const [recipient, sensitivity] = one.name.split(".");
    (found[recipient] ??= []).push({
      action: one.value, purpose: form.dataset.purpose, recipient, sensitivity,
    });
  }
  return found;
};
const decision = (lender, choices) => ({
  authority: { age_band: "adult", authority_evidence_hash: null, guardian_entity_id: null },
  channel: "web",
  choices,
  event_time: instant(now),
  expiry_time: null,
  nonce: random(),
  notice_id: form.dataset.notice,
  notice_language: form.elements.language.value,
  notice_sha256: form.elements.sha256.value,
  notice_version: Number(form.dataset.version),
  pii_principal_id: people[lender].pseudonym,
  ...presentation(form),
});
const signed = async (answers) => {
  const tokens = [];
  for (const [lender, choices] of Object.entries(answers))
    tokens.push(await sign("tahini-decision", decision(lender, choices), keys[lender]));
  return tokens.join(" ");
};

if (Object.values(keys).some(Boolean)) {
  document.getElementById("signs").hidden = false;
  form.addEventListener("submit", async (event) => {
    const answers = chosen();
    const lenders = Object.keys(answers);
    const yes = Object.values(answers).flat().some(({ action }) => action === "give" || action === "resume");
    if (event.submitter?.name === "all" || !yes || !lenders.every((one) => keys[one])) return;
    event.preventDefault();
    for (const button of form.querySelectorAll("button")) button.disabled = true;
    const field = document.createElement("input");
    Object.assign(field, { type: "hidden", name: "signed", value: await signed(answers) });
    form.append(field);
    form.submit();
  });
}
