// What every page does beside htmx: say what failed, say what changed, keep the address short.
"use strict";

const said = (words) => {
  document.getElementById("said").textContent = words;
};

// A swap of a part that carries data-says is read out.
document.addEventListener("htmx:after:swap", () => {
  const part = document.querySelector("[data-says]");
  if (part) said(part.dataset.says);
});

document.addEventListener("htmx:error", (event) => {
  const target = event.detail.ctx?.target;
  if (!(target instanceof Element)) return;
  const words = "The service does not answer. Nothing was changed; try again in a moment.";
  const box = document.createElement("p");
  box.className = "panel problem";
  box.setAttribute("role", "alert");
  box.textContent = words;
  target.querySelector(":scope > .problem[role=alert]")?.remove();
  target.prepend(box);
});

// What is empty is not asked, so it is not in the address either.
document.addEventListener("htmx:config:request", (event) => {
  const { method, body } = event.detail.ctx.request;
  if (method !== "GET") return;
  const kept = [...body].filter(([, value]) => value !== "");
  for (const name of new Set(body.keys())) body.delete(name);
  for (const [name, value] of kept) body.append(name, value);
});
