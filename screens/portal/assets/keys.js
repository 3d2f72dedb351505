/* Makes a key in this browser for each lender of the person's, keeps it, and sends the statements
   that register it. Says which of the keys in the list are of this device. */

import { instant, newKey, sign } from "./device.js";
import { keep, kept } from "./store.js";

const form = document.getElementById("add");
for (const one of document.querySelectorAll("[data-thumbprint]"))
  one.hidden = !(await kept(`key ${one.dataset.thumbprint}`));

const statement = async (pseudonym, { origin, now }) => {
  const key = await newKey();
  await keep(`key ${key.thumbprint}`, key);
  const said = {
    issued_at: instant(now), log_origin: origin, pseudonym, public_key: key.text,
  };
  return sign("tahini-borrower-key", said, key);
};

if (form) {
  try {
    await newKey();
    document.getElementById("able").hidden = false;
    document.getElementById("unable").hidden = true;
  } catch {
    /* no Ed25519 here: the page says so already */
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const about = JSON.parse(form.dataset.about);
    const tokens = [];
    for (const pseudonym of about.people) tokens.push(await statement(pseudonym, about));
    form.elements.statements.value = tokens.join(" ");
    form.submit();
  });
}
