/* What is filled in stays when the page is read in another language: kept in this tab from the tap
   on the language until the page is there again, for whoever it was shown to. A form with
   `data-keep` asks for it; hidden fields are the page's own and come anew. */

const PLACE = "filled-in";
const form = document.querySelector("form[data-keep]");
const whose = form.elements.whose?.value ?? "";
const marked = (one) => one.type === "radio" || one.type === "checkbox";
const named = (one) => (marked(one) ? `${one.name}=${one.value}` : one.name);
const fields = [...form.elements].filter(
  (one) => one.name && !["hidden", "submit"].includes(one.type) && !("fresh" in one.dataset),
);

const before = sessionStorage.getItem(PLACE);
sessionStorage.removeItem(PLACE);
const found = JSON.parse(before ?? "{}");
if (found.path === location.pathname && found.whose === whose) {
  for (const one of fields) {
    if (!(named(one) in found.said)) continue;
    if (marked(one)) one.checked = found.said[named(one)];
    else one.value = found.said[named(one)];
  }
  form.dispatchEvent(new Event("input"));
}

for (const link of document.querySelectorAll(".languages a"))
  link.addEventListener("click", () => {
    const said = Object.fromEntries(fields.map((one) => [named(one), marked(one) ? one.checked : one.value]));
    sessionStorage.setItem(PLACE, JSON.stringify({ path: location.pathname, whose, said }));
  });
