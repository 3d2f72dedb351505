/* Says how far a verification is, and shows the page anew when it has ended. */

const doing = document.getElementById("doing");
const bar = document.getElementById("bar");
const look = async () => {
  try {
    const told = await (await fetch("/progress")).json();
    if (told.done) {
      location.reload();
      return;
    }
    if (doing.textContent !== told.doing) doing.textContent = told.doing;
    bar.value = told.percent;
  } catch {
    doing.textContent = doing.dataset.away;
  }
  setTimeout(look, 700);
};
setTimeout(look, 700);
