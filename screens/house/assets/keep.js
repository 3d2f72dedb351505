/* What is filled in stays when the page is read in another language, and when a visit has ended
   before the form was sent: kept in this tab from the tap until the next page is there, whatever
   that is; pages on which one comes in (`data-away`) are no next page. It is filled in again only
   where that is the same page in the same language, for the same person, about the same text. A
   form with `data-keep` asks for it; hidden fields are the page's own and come anew. */

const PLACE = "filled-in";
const SOON_MS = 60000;
const AWAY_MS = 900000;
const before = JSON.parse(sessionStorage.getItem(PLACE) ?? "null");
if (!document.querySelector("[data-away]")) sessionStorage.removeItem(PLACE);

const marked = (one) => one.type === "radio" || one.type === "checkbox";
const named = (one) => (marked(one) ? `${one.name}=${one.value}` : one.name);

const follow = (form) => {
  const fields = [...form.elements].filter(
    (one) => one.name && !["hidden", "submit"].includes(one.type) && !("fresh" in one.dataset),
  );
  const whose = form.elements.whose.value;
  const about = form.dataset.keep;
  const here = [document.querySelector(".languages [aria-current]").lang, location.pathname, whose, about];
  if (before && before.here.join() === here.join() && Date.now() < before.until) {
    for (const one of fields.filter((field) => Object.hasOwn(before.said, named(field)))) {
      if (marked(one)) one.checked = before.said[named(one)];
      else one.value = before.said[named(one)];
    }
    form.dispatchEvent(new Event("input"));
  }
  const keep = (there, forMs) => {
    const said = Object.fromEntries(fields.map((one) => [named(one), marked(one) ? one.checked : one.value]));
    sessionStorage.setItem(PLACE, JSON.stringify({ here: there, until: Date.now() + forMs, said }));
  };
  form.addEventListener("submit", () => keep(here, AWAY_MS));
  for (const link of document.querySelectorAll(".languages a"))
    link.addEventListener("click", (tap) => {
      if (!(tap.ctrlKey || tap.metaKey || tap.shiftKey || tap.altKey))
        keep([link.hreflang, new URL(link.href).pathname, whose, about], SOON_MS);
    });
  addEventListener("pageshow", ({ persisted }) => persisted && sessionStorage.removeItem(PLACE));
};

const form = document.querySelector("form[data-keep]");
if (form) follow(form);
