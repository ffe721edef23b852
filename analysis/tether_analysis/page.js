// Filters and sorts a report. Rows, sections and legend entries carry their facets (data-model, data-method,
// data-seed, data-state; several values separated by blanks) and the words they are found by (data-word); what lacks
// a filter's value or word is hidden. The view is kept behind #! in the address, so that it can be passed on. Without this script the
// page shows everything.
"use strict";
(() => {
  const facets = ["model", "method", "seed", "state"];
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const faceted = all("[data-method]");
  const tables = all("table");
  const bar = document.querySelector(".filters");
  const word = bar.querySelector("input");
  const selects = {};
  const values = (element, facet) => (element.dataset[facet] || "").split(" ").filter(Boolean);
  const comparable = (a, b) => a.localeCompare(b, "en", { numeric: true });

  for (const facet of facets) {
    const found = [...new Set(faceted.flatMap((element) => values(element, facet)))].sort(comparable);
    const select = document.createElement("select");
    select.id = "filter-" + facet;
    select.append(new Option("all", ""), ...found.map((value) => new Option(value, value)));
    const label = document.createElement("label");
    label.append(facet, select);
    label.hidden = found.length < 2;
    bar.insertBefore(label, bar.querySelector("button"));
    selects[facet] = select;
  }

  const fits = (element) =>
    facets.every((facet) => !selects[facet].value || values(element, facet).includes(selects[facet].value));
  const says = (element, wanted) => wanted.every((part) => element.dataset.word.toLowerCase().includes(part));

  function show() {
    const wanted = word.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const element of faceted) {
      const shown = fits(element) && says(element, wanted);
      if (element.dataset.series) {
        element.classList.toggle("off", !shown);
        draw(element);
      } else {
        element.hidden = !shown;
      }
    }
    const rows = all("table.runs tbody tr");
    bar.querySelector("output").textContent =
      `${rows.filter((row) => !row.hidden).length} of ${rows.length} ${rows.length === 1 ? "run" : "runs"}`;
    for (const input of [word, ...Object.values(selects)]) {
      input.classList.toggle("set", input.value !== "");
    }
  }

  // The marks of a legend entry are there as long as it is not crossed out.
  function draw(entry) {
    for (const mark of all("." + entry.dataset.series, entry.closest("figure"))) {
      mark.style.display = entry.classList.contains("off") ? "none" : "";
    }
  }

  function key(row, column) {
    const cell = row.cells[column];
    const number = parseFloat(cell.dataset.sort);
    return cell.dataset.sort !== undefined && !Number.isNaN(number) ? number : cell.textContent;
  }

  function sort(table, column, upwards) {
    const sign = upwards ? 1 : -1;
    const rows = [...table.tBodies[0].rows].map((row) => [key(row, column), row]);
    rows.sort(([a], [b]) => {
      if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1; // what is no number stands last
      return sign * (typeof a === "number" ? a - b : comparable(a, b));
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
    all("th", table).forEach((head, place) => {
      if (place === column) head.setAttribute("aria-sort", upwards ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
  }

  function keep() {
    const view = new URLSearchParams();
    if (word.value) view.set("word", word.value);
    for (const facet of facets) if (selects[facet].value) view.set(facet, selects[facet].value);
    tables.forEach((table, place) => {
      const head = table.querySelector("th[aria-sort]");
      if (head) view.append("sort", [place + 1, head.cellIndex + 1, head.getAttribute("aria-sort")].join("."));
    });
    const text = view.toString();
    if (text || location.hash.startsWith("#!")) location.replace("#!" + text);
  }

  function recall() {
    if (!location.hash.startsWith("#!")) return;
    const view = new URLSearchParams(location.hash.slice(2));
    word.value = view.get("word") || "";
    for (const facet of facets) selects[facet].value = view.get(facet) || "";
    for (const told of view.getAll("sort")) {
      const [table, column, direction] = told.split(".");
      const chosen = tables[table - 1];
      if (chosen && chosen.tHead.rows[0].cells[column - 1]) sort(chosen, column - 1, direction === "ascending");
    }
  }

  for (const table of tables) {
    all("th", table).forEach((head, column) => {
      head.tabIndex = 0;
      head.title = head.title || "sort";
      const act = () => {
        sort(table, column, head.getAttribute("aria-sort") !== "ascending");
        keep();
      };
      head.addEventListener("click", act);
      head.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          act();
        }
      });
    });
  }
  for (const entry of all(".legend li[data-series]")) {
    entry.addEventListener("click", () => {
      entry.classList.toggle("off");
      draw(entry);
    });
  }
  for (const input of [word, ...Object.values(selects)]) {
    input.addEventListener("input", () => {
      show();
      keep();
    });
  }
  bar.querySelector("button").addEventListener("click", () => {
    for (const input of [word, ...Object.values(selects)]) input.value = "";
    show();
    keep();
  });
  document.documentElement.classList.add("scripted");
  recall();
  show();
})();
