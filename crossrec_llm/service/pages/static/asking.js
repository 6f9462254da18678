// The form of a list: sliders that ask as they move, and what is copied.
"use strict";

const shownOf = (slider) => document.getElementById(`${slider.id}-says`);
const freeOf = (slider) => document.querySelector(`[data-frees="${CSS.escape(slider.id)}"]`);

document.addEventListener("input", (event) => {
  const slider = event.target;
  if (slider.type !== "range") return;
  const free = freeOf(slider);
  if (free) free.checked = false;
  shownOf(slider).textContent = `${Math.round(slider.value * 100)}%`;
  slider.form.dispatchEvent(new Event("slide"));
});

document.addEventListener("change", (event) => {
  const slider = document.getElementById(event.target.dataset.frees);
  if (!slider) return;
  const share = `${Math.round(slider.value * 100)}%`;
  shownOf(slider).textContent = event.target.checked ? "" : share;
});

// A slider that is left to the scores says nothing.
document.addEventListener("htmx:config:request", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement)) return;
  const { body } = event.detail.ctx.request;
  for (const free of form.querySelectorAll("[data-frees]")) {
    body.delete(free.name);
    if (free.checked) body.delete(document.getElementById(free.dataset.frees).name);
  }
  for (const [name, usual] of [["k", "10"], ["mode", "both"]]) {
    if (body.get(name) === usual) body.delete(name);
  }
});

// A slider that was let go of asks what it asked while it moved: no second step back.
document.addEventListener("htmx:before:history:update", (event) => {
  const { history } = event.detail;
  if (history.path === location.pathname + location.search) history.type = "replace";
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copies]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(text.textContent);
    said("Copied.");
  } catch {
    getSelection().selectAllChildren(text);
    said("Selected: copy it with the keyboard.");
  }
});
