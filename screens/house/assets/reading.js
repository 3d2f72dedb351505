/* For how long a page with a text was looked at, and whether the text's end has come up: what a yes
   must say where the notice asks for it. Nothing else is watched. */

const about = document.getElementById("reading");

const follow = () => {
  const [told, end] = [document.getElementById("told"), document.getElementById("end")];
  const { looked, reached } = end.querySelector("input").form.elements;
  let [sofar, since] = [1000 * Number(looked.value), null];
  const turn = () => {
    const now = performance.now();
    if (since !== null) sofar += now - since;
    since = document.hidden ? null : now;
    return Math.floor(sofar / 1000);
  };
  const tell = () => {
    const left = about.dataset.least - turn();
    const { waiting, done, unread } = about.dataset;
    const say = left > 0 ? waiting.replace("{}", left) : reached.checked ? done : unread;
    if (told.textContent !== say) told.textContent = say;
    if (say === done) document.getElementById("enough").textContent = done; // once, for who hears
    else setTimeout(tell, 250);
  };
  new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting)) reached.checked = true;
  }).observe(told);
  end.hidden = true; // the line that says so where no script sees it
  document.addEventListener("visibilitychange", turn);
  reached.form.addEventListener("submit", () => {
    looked.value = turn();
  });
  tell();
};
if (about) follow();

/* How the text was shown, as it stands in a signed answer; nothing where nobody asks. */
export const presentation = (form) =>
  about
    ? {
        presentation: {
          layout_sha256: about.dataset.layout,
          own_controls: true,
          seconds: Number(form.elements.looked.value),
          to_the_end: form.elements.reached.checked,
        },
      }
    : {};
