"use strict";

const one = (selector) => document.querySelector(selector);
const [form, drop, button, said, result, stage] = ["form", ".drop", "form button", ".said", ".result", ".stage"].map(one);
const slider = one(".stage input");
let photo = null;

const choose = (file) => {
  if (!file) return;
  if (file.size > Number(form.dataset.most)) {
    say(`${file.name} is too large: choose a file of at most ${Math.floor(form.dataset.most / 2 ** 20)} MiB`, true);
    return;
  }
  photo = file;
  one(".chosen").textContent = file.name;
  button.disabled = false;
};
const say = (text, error = false) => {
  said.textContent = text;
  said.classList.toggle("error", error);
};
const divide = () => {
  stage.style.setProperty("--at", `${slider.value}%`);
  slider.setAttribute("aria-valuetext", `${slider.value} % before, ${100 - slider.value} % restored`);
};
const loaded = (image, source) => {
  image.src = source;
  return image.decode();
};
const show = async (answer, name) => {
  const [before, restored] = [answer.before, answer.restored].map((path) => `/results/${path}`);
  stage.style.setProperty("--w", answer.width);
  stage.style.setProperty("--h", answer.height);
  await Promise.all([loaded(one(".left"), before), loaded(one(".right"), restored)]);
  const link = one(".download");
  link.href = restored;
  link.download = `${name.replace(/\.[^.]*$/, "")}_restored.png`;
  result.hidden = false;
};

drop.addEventListener("change", (event) => choose(event.target.files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
    if (kind === "drop") choose(event.dataTransfer.files[0]);
  });
}
form.addEventListener("change", () => {
  const order = one(".order");
  if (order) order.hidden = new FormData(form).get("factor") !== "";
});
slider.addEventListener("input", divide);
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const chosen = new FormData(form);
  const asked = new URLSearchParams({ name: photo.name });
  if (chosen.get("factor")) asked.set("factor", chosen.get("factor"));
  else if (chosen.get("order")) asked.set("order", chosen.get("order"));
  button.disabled = true;
  result.hidden = true;
  say("Restoring …");
  try {
    const name = photo.name;
    const response = await fetch(`/restore?${asked}`, { method: "POST", body: photo });
    if (!response.ok) throw new Error(`the server refused it (${response.status})`);
    const answer = await response.json();
    if (!answer.error) await show(answer, name);
    say(answer.error ?? answer.said, Boolean(answer.error));
  } catch (error) {
    say(`Not restored: ${error.message}. Is restore demo still running?`, true);
  }
  button.disabled = false;
});
divide();
