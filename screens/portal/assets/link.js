/* An invitation comes in the fragment of an address, which no server sees. It is put into the form
   and taken out of the address. Whose it is is said only if that lender has signed it. */

import { openDocument } from "./verify.js";

const form = document.querySelector("main form");
const by = document.getElementById("by");
const ticket = location.hash.slice(1);

const claimed = (token) => {
  const body = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  return JSON.parse(atob(body)).lender;
};

/* The name of the lender whose signature stands below it; undefined where nobody known has signed,
   or this browser cannot check it. */
const inviter = async (token) => {
  try {
    const lenders = JSON.parse(by.dataset.lenders);
    const lender = claimed(token);
    if (!Object.hasOwn(lenders, lender)) return undefined;
    await openDocument(token, "tahini-link-ticket", lenders[lender].key);
    return lenders[lender].name;
  } catch {
    return undefined;
  }
};

if (ticket) {
  history.replaceState(null, "", location.pathname);
  form.elements.ticket.value = ticket;
  for (const one of document.querySelectorAll(".languages a")) one.hash = ticket;
  const name = await inviter(ticket);
  if (name !== undefined) {
    document.getElementById("lender").textContent = name;
    by.hidden = false;
    document.getElementById("typed").hidden = true;
  }
  by.dataset.looked = "";
}
