/* An invitation comes in the fragment of an address, which no server sees. It is put into the form
   and taken out of the address; the lender that it names is said, which the registry checks. */

const form = document.querySelector("main form");
const ticket = location.hash.slice(1);

const lenderOf = (token) => {
  try {
    const body = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(body)).lender;
  } catch {
    return undefined;
  }
};

if (ticket) {
  history.replaceState(null, "", location.pathname);
  form.elements.ticket.value = ticket;
  const by = document.getElementById("by");
  const lender = lenderOf(ticket);
  if (lender !== undefined) {
    document.getElementById("lender").textContent = JSON.parse(by.dataset.names)[lender] ?? lender;
    by.hidden = false;
    document.getElementById("typed").hidden = true;
  }
}
