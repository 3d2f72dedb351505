/* A saved receipt that somebody chooses here. Of the file only the two documents are read that it
   holds; nothing of it is shown or run, and nothing is sent. */

import { kindOf } from "./asked.js";
import { check } from "./receipt.js";
import { openConsortium } from "./verify.js";

const at = (id) => document.getElementById(id);
const MOST = 1_000_000;
const A_LENDERS = "tahini-decision-receipt"; // its file checks itself, where it is opened
const HELD = (name) => new RegExp(`<data id="${name}" value="([\\w.-]+)">`);

const read = async (file) => {
  const text = file.size > MOST ? "" : await file.text();
  const [receipt, consortium] = ["receipt", "consortium"].map((one) => HELD(one).exec(text)?.[1]);
  return receipt && consortium ? { receipt, consortium } : null;
};
const ours = async () => {
  try {
    return (await openConsortium(at("ours").value)).fingerprint;
  } catch {
    return null;
  }
};

at("file").addEventListener("change", async ({ target }) => {
  if (!target.files.length) return;
  let found = await read(target.files[0]);
  at("lenders").hidden = kindOf(found?.receipt ?? "") !== A_LENDERS;
  if (!at("lenders").hidden) found = null;
  at("none").hidden = found !== null || !at("lenders").hidden;
  at("checked").hidden = found === null;
  at("other").hidden = true;
  if (found === null) return;
  at("receipt").value = found.receipt;
  at("consortium").value = found.consortium;
  const named = await check();
  at("other").hidden = named === null || named === (await ours());
});
at("file").disabled = false;
