"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const reading = document.getElementById("reading");
  const cells = all("td[data-reading]");
  // The read-out takes the place of the browser's own hint.
  for (const cell of cells) cell.removeAttribute("title");

  const read = (target) => {
    const title = target.closest?.("svg *")?.querySelector?.(":scope > title");
    reading.textContent = title?.textContent ?? target.closest?.("[data-reading]")?.dataset.reading ?? "";
  };
  document.addEventListener("pointerover", (event) => read(event.target));
  document.addEventListener("focusin", (event) => read(event.target));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") reading.textContent = ""; });

  // One cell is in the order of tabs; the arrow keys go to its neighbours.
  document.addEventListener("keydown", (event) => {
    const cell = event.target.closest?.("td[data-reading]");
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!cell || !step) return;
    const row = cell.parentElement, rows = [...row.parentElement.rows];
    const next = rows[rows.indexOf(row) + step[0]]?.cells[cell.cellIndex + step[1]];
    if (!next?.dataset.reading) return;
    event.preventDefault();
    for (const other of cells) other.tabIndex = other === next ? 0 : -1;
    next.focus();
  });

  // The best first; pressed again, the worst.
  for (const button of all("[data-sort]")) {
    button.addEventListener("click", () => {
      const head = button.closest("th"), body = button.closest("table").tBodies[0];
      const first = button.dataset.better === "higher" ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      for (const th of all("th", head.parentElement)) th.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const value = (row) => row.cells[head.cellIndex].dataset.value;
      body.append(...[...body.rows].sort((a, b) => {
        // What has no number comes last either way.
        if (value(a) === "" || value(b) === "") return (value(a) === "") - (value(b) === "");
        return sign * (Number(value(a)) - Number(value(b)));
      }));
    });
  }
})();
