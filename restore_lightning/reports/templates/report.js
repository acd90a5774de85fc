"use strict";

// Before and after: two versions of an image, divided by a native range input.
for (const viewer of document.querySelectorAll(".viewer")) {
  const views = [...viewer.querySelectorAll(".stage img")];
  const slider = viewer.querySelector("input[type=range]");
  const passes = [...viewer.querySelectorAll("[data-pass]")];
  const status = viewer.querySelector(".status");
  const options = (side) => [...viewer.querySelectorAll(`.${side} input`)];
  const chosen = (side) => options(side).findIndex((option) => option.checked);

  // Pass n leads from version n - 1 to version n; 0: the two versions are no pass.
  const pass = () => (chosen("to") === chosen("from") + 1 && chosen("to") <= passes.length ? chosen("to") : 0);

  const draw = () => {
    const left = chosen("from");
    const right = chosen("to");
    const names = [views[left].alt, views[right].alt];
    views.forEach((view, index) => {
      view.classList.toggle("left", index === left);
      view.classList.toggle("right", index === right);
    });
    viewer.querySelectorAll(".tag").forEach((tag, index) => (tag.textContent = names[index]));
    viewer.querySelector(".stage").style.setProperty("--at", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value} % ${names[0]}, ${100 - slider.value} % ${names[1]}`);
    passes.forEach((button, index) => button.setAttribute("aria-pressed", String(index + 1 === pass())));
  };
  const show = (number) => {
    options("from")[number - 1].checked = true;
    options("to")[number].checked = true;
    status.textContent = passes[number - 1].textContent;
    draw();
  };

  viewer.addEventListener("input", draw);
  passes.forEach((button, index) => button.addEventListener("click", () => show(index + 1)));
  viewer.querySelector(".previous")?.addEventListener("click", () => show(pass() > 1 ? pass() - 1 : passes.length));
  viewer.querySelector(".next")?.addEventListener("click", () => show((pass() % passes.length) + 1));
  draw();
}

// Charts: the nearest value to the pointer, or the next one by arrow key, is named.
const tip = document.getElementById("tip");
const hide = () => {
  tip.hidden = true;
  document.querySelector(".dot.on")?.classList.remove("on");
};
const tell = (dot) => {
  hide();
  dot.classList.add("on");
  tip.textContent = dot.dataset.text;
  tip.hidden = false;
  const at = dot.getBoundingClientRect();
  const most = document.documentElement.clientWidth - tip.offsetWidth - 8;
  tip.style.left = `${Math.max(8, Math.min(most, at.left + at.width / 2 - tip.offsetWidth / 2))}px`;
  tip.style.top = `${Math.max(8, at.top - tip.offsetHeight - 10)}px`;
};
for (const chart of document.querySelectorAll(".chart > svg")) {
  const dots = [...chart.querySelectorAll(".dot")];
  const place = new Map(dots.map((dot) => [dot, [dot.cx.baseVal.value, dot.cy.baseVal.value]]));
  const nearest = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
    const distance = (dot) => Math.hypot(place.get(dot)[0] - at.x, place.get(dot)[1] - at.y);
    tell(dots.reduce((best, dot) => (distance(dot) < distance(best) ? dot : best)));
  };
  chart.addEventListener("pointermove", nearest);
  chart.addEventListener("pointerdown", nearest);
  chart.addEventListener("pointerleave", hide);
  chart.addEventListener("focusin", (event) => {
    if (event.target.matches(":focus-visible")) tell(event.target.querySelector(".dot"));
  });
  chart.addEventListener("focusout", hide);
  chart.addEventListener("keydown", (event) => {
    const now = dots.findIndex((dot) => dot.classList.contains("on"));
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: dots.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    tell(dots[Math.max(0, Math.min(dots.length - 1, next))]);
  });
}
addEventListener("scroll", hide, { passive: true });

// A link to an image opens it.
const reveal = () => {
  const image = document.getElementById(location.hash.slice(1));
  if (image?.matches("details")) image.open = true;
};
addEventListener("hashchange", reveal);
reveal();
