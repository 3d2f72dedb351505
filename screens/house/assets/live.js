/* Keeps parts of a page up to date without a reload.

   A part with `data-live` is fetched anew from there every second, as long as the page is
   looked at; what comes without `data-live` is not asked for again. A form with `data-live-form`
   is sent there whenever it changes, and the answer is shown in the element that `data-live-into`
   names. What stays the same is left alone, so focus, selection and what was opened stay where
   they are. Fetched pages are parsed as documents, which run nothing. */

const EVERY_MS = 1000;
const SETTLED_MS = 300;

const asked = (method, path, body) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, path);
    request.responseType = "document";
    request.timeout = 10000;
    if (body) request.setRequestHeader("Content-Type", "application/x-www-form-urlencoded");
    request.onload = () =>
      request.status === 200 && request.response ? resolve(request.response.body.firstElementChild) : reject(request.status);
    request.onerror = request.ontimeout = () => reject(0);
    request.send(body);
  });

const alike = (one, other) => one.nodeType === other.nodeType && one.nodeName === other.nodeName;

const become = (shown, fresh) => {
  if (shown.nodeType !== Node.ELEMENT_NODE) {
    if (shown.data !== fresh.data) shown.data = fresh.data;
    return;
  }
  for (const { name } of [...shown.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) shown.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  const [before, after] = [[...shown.childNodes], [...fresh.childNodes]];
  after.forEach((one, at) => {
    if (at >= before.length) shown.append(document.importNode(one, true));
    else if (alike(before[at], one)) become(before[at], one);
    else before[at].replaceWith(document.importNode(one, true));
  });
  for (const one of before.slice(after.length)) one.remove();
};

const update = (part, fresh) => {
  const inside = part.contains(document.activeElement);
  become(part, fresh);
  if (inside && document.activeElement === document.body) part.focus();
};

const lost = (is) => {
  for (const one of document.querySelectorAll("[data-live-lost]")) one.hidden = !is;
};

const follow = async (part) => {
  if (!document.hidden) {
    try {
      update(part, await asked("GET", part.dataset.live));
      lost(false);
    } catch (status) {
      lost(true);
      if (status === 401 || status === 403) return;
    }
  }
  if (part.dataset.live) setTimeout(follow, EVERY_MS, part);
};

for (const part of document.querySelectorAll("[data-live]")) setTimeout(follow, EVERY_MS, part);

for (const form of document.querySelectorAll("[data-live-form]")) {
  const into = document.getElementById(form.dataset.liveInto);
  let [waiting, turn] = [0, 0];
  const send = async () => {
    const mine = ++turn;
    try {
      const fresh = await asked("POST", form.dataset.liveForm, new URLSearchParams(new FormData(form)));
      if (mine === turn) update(into, fresh);
      lost(false);
    } catch {
      lost(true);
    }
  };
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(send, SETTLED_MS);
  });
}
