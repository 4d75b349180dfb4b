"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const reading = document.getElementById("reading"), pick = document.getElementById("instance");
  let instance = "0", output = "0";

  function show() {
    for (const part of all(".case")) {
      part.classList.toggle("shown", part.dataset.instance === instance && part.dataset.output === output);
    }
    for (const part of all(".overview")) part.classList.toggle("shown", part.dataset.output === output);
    for (const button of all("button[data-output]")) {
      button.setAttribute("aria-pressed", button.dataset.output === output);
    }
    reading.textContent = "";
  }

  // The same plot of every instance and output, where it has it; else its first.
  function plot(kind, scope) {
    for (const plots of all(`${scope} .plots`)) {
      const figures = all(".plot", plots);
      const chosen = figures.some((figure) => figure.dataset.plot === kind) ? kind : figures[0]?.dataset.plot;
      for (const figure of figures) figure.classList.toggle("shown", figure.dataset.plot === chosen);
      for (const button of all("[data-plot][aria-pressed]", plots)) {
        button.setAttribute("aria-pressed", button.dataset.plot === chosen);
      }
    }
  }

  function sort(button) {
    const key = button.dataset.sort, head = button.closest("th"), body = button.closest("table").tBodies[0];
    // Numbers begin with the largest, names with the first.
    const order = head.getAttribute("aria-sort") ?? (key === "name" ? "descending" : "ascending");
    const next = order === "ascending" ? "descending" : "ascending";
    for (const other of all("th", head.parentElement)) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", next);
    const sign = next === "ascending" ? 1 : -1;
    const value = (row) => row.dataset[key];
    const compare = (a, b) => {
      if (key === "name") return sign * value(a).localeCompare(value(b), undefined, { numeric: true });
      // What has no number comes last either way.
      if (value(a) === "" || value(b) === "") return (value(a) === "") - (value(b) === "");
      return sign * (Number(value(a)) - Number(value(b)));
    };
    body.append(...[...body.rows].sort(compare));
  }

  for (const button of all("button[data-output]")) {
    button.addEventListener("click", () => { output = button.dataset.output; show(); });
  }
  pick?.addEventListener("change", () => { instance = pick.value; show(); });
  for (const button of all(".case .tabs button")) button.addEventListener("click", () => plot(button.dataset.plot, ".case"));
  for (const button of all(".overview .tabs button")) button.addEventListener("click", () => plot(button.dataset.plot, ".overview"));
  for (const button of all("[data-sort]")) button.addEventListener("click", () => sort(button));
  for (const input of all(".filter input")) {
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      for (const row of input.closest(".case").querySelectorAll(".features tbody tr")) {
        row.hidden = !row.dataset.name.toLowerCase().includes(wanted);
      }
    });
  }
  document.addEventListener("pointerover", (event) => {
    const title = event.target.closest?.("svg *")?.querySelector?.(":scope > title");
    reading.textContent = title?.textContent ?? event.target.closest?.("[data-reading]")?.dataset.reading ?? "";
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") reading.textContent = ""; });

  document.documentElement.classList.add("js");
  plot(undefined, ".case");
  plot(undefined, ".overview");
  show();
})();
