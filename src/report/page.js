"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (id) => document.getElementById(id);
  const listbox = one("segments"), reading = one("reading");
  const shapes = new Map(all("path", listbox).map((path) => [path.dataset.segment, path]));
  // The rows of the class in view, the strongest segment first.
  let rows = [];
  let current = null;

  const shape = (row) => row && shapes.get(row.dataset.segment);
  const rowOf = (segment) => rows.find((row) => row.dataset.segment === segment);

  function read(row, scroll) {
    if (!row) return;
    if (current) current.classList.remove("on");
    current = row;
    row.classList.add("on");
    reading.textContent = row.dataset.reading;
    const d = shape(row)?.getAttribute("d") ?? "";
    one("halo").setAttribute("d", d);
    one("ring").setAttribute("d", d);
    for (const path of shapes.values()) {
      const here = path === shape(row);
      path.tabIndex = here ? 0 : -1;
      path.setAttribute("aria-selected", here);
    }
    for (const other of rows) other.tabIndex = other === row ? 0 : -1;
    if (scroll) {
      // Within the table only: the page must not jump under the pointer.
      const box = row.closest(".scroll"), head = row.closest("table").tHead.offsetHeight;
      if (row.offsetTop - head < box.scrollTop) box.scrollTop = row.offsetTop - head;
      const low = row.offsetTop + row.offsetHeight - box.clientHeight;
      if (low > box.scrollTop) box.scrollTop = low;
    }
  }

  function show(number) {
    for (const part of all(".of-class")) part.classList.toggle("shown", part.dataset.class === number);
    for (const button of all("[data-show]")) button.setAttribute("aria-pressed", button.dataset.show === number);
    rows = all(`section[data-class="${number}"] tbody tr`);
    for (const row of rows) {
      const path = shape(row);
      if (!path) continue;
      path.querySelector("title").textContent = row.dataset.reading;
      path.setAttribute("aria-label", row.dataset.reading);
    }
    if (current) read(rowOf(current.dataset.segment));
    else if (shape(rows[0])) shape(rows[0]).tabIndex = 0;
  }

  // Steps from strong to weak; on the photo, segments too small to be drawn are skipped.
  function step(event, target) {
    const last = rows.length - 1, at = rows.indexOf(current ?? rows[0]);
    const forward = event.key === "ArrowRight" || event.key === "ArrowDown";
    const back = event.key === "ArrowLeft" || event.key === "ArrowUp";
    let to = forward ? at + (current ? 1 : 0) : back ? at - 1 : event.key === "Home" ? 0 : event.key === "End" ? last : null;
    if (to === null) return;
    event.preventDefault();
    const on = back || event.key === "End" ? -1 : 1;
    while (rows[to] && !target(rows[to])) to += on;
    if (!rows[to]) return;
    read(rows[to], true);
    target(rows[to]).focus({ preventScroll: true });
  }

  for (const name of ["pointerover", "focusin", "click"]) {
    listbox.addEventListener(name, (event) => read(rowOf(event.target.closest("path")?.dataset.segment), true));
  }
  listbox.addEventListener("keydown", (event) => step(event, shape));
  for (const body of all(".segments tbody")) {
    for (const name of ["pointerover", "focusin", "click"]) {
      body.addEventListener(name, (event) => read(event.target.closest("tr")));
    }
    body.addEventListener("keydown", (event) => step(event, (row) => row));
  }
  for (const button of all("[data-show]")) button.addEventListener("click", () => show(button.dataset.show));

  const strength = one("strength"), grey = one("grey"), stage = one("stage");
  const look = () => {
    one("map").style.opacity = strength.value / 100;
    // Segments are looked at in the photo's own colours.
    const quiet = grey.checked && stage.dataset.view !== "segments";
    one("photo").setAttribute("filter", quiet ? "url(#quiet)" : "none");
  };
  function view(name) {
    stage.dataset.view = name;
    for (const button of all("[data-look]")) {
      button.setAttribute("aria-pressed", button.dataset.look === name);
      if (button.dataset.look === name) one("says").textContent = button.dataset.says;
    }
    look();
  }
  for (const button of all("[data-look]")) button.addEventListener("click", () => view(button.dataset.look));
  for (const button of all("[data-choose]")) {
    button.addEventListener("click", () => {
      show(button.dataset.choose);
      view("overlay");
      one("stage").querySelector("[data-look]").focus();
    });
  }
  // Arrow keys walk along a row of buttons.
  for (const row of all(".switch")) {
    row.addEventListener("keydown", (event) => {
      const buttons = all("button", row), step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = buttons[(buttons.indexOf(event.target.closest("button")) + step + buttons.length) % buttons.length];
      next.focus();
      next.click();
    });
  }
  strength.addEventListener("input", look);
  grey.addEventListener("change", look);

  document.documentElement.classList.add("js");
  look();
  show("0");
})();
