// The page's light and dark, its table of all images, and the record of one. Text goes in as text, never as HTML.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

function make(name, text, attributes = {}) {
  const element = document.createElement(name);
  if (text !== undefined && text !== null) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/* Light and dark: as the system has it, until somebody says otherwise. */
{
  const root = document.documentElement, button = $("#theme");
  const remembered = () => { try { return localStorage.getItem("srpipe-theme"); } catch { return null; } };
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const say = () => { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Use ${isDark() ? "light" : "dark"} colours`); };
  if (remembered()) root.dataset.theme = remembered();
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("srpipe-theme", root.dataset.theme); } catch { /* not from some disks */ }
    say();
  });
  say();
}

/* The records: columns of values, packed. */
const records = (async () => {
  const packed = Uint8Array.from(atob($("#records").textContent), (letter) => letter.charCodeAt(0));
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const { count, rows, columns } = await new Response(plain).json();
  const places = new Map(rows.map((row, place) => [row, place]));
  const value = (name, place) => {
    const column = columns[name];
    return column === undefined ? null : Array.isArray(column) ? column[place] : column.all;
  };
  return { count, rows, names: Object.keys(columns), value, place: (row) => places.get(row) };
})();

function written(value, digits = 6) {
  if (value === null) return "";
  if (typeof value === "number") return String(Math.abs(value) < 10 ** digits ? Number(value.toPrecision(digits)) : Math.round(value));
  return Array.isArray(value) ? value.map((item) => written(item, digits)).join(", ") : String(value);
}

async function showRecord(row) {
  const held = await records, place = held.place(row), dialog = $("#record");
  if (place === undefined) return;
  $("#record-title").textContent = held.value("key", place) ?? held.value("source_uri", place);
  const facts = $("dl", dialog);
  facts.replaceChildren();
  for (const name of held.names) {
    const value = held.value(name, place);
    if (value === null || name.startsWith(".")) continue;
    const pair = make("div");
    pair.append(make("dt", name), make("dd", written(value)));
    facts.append(pair);
  }
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  const asked = event.target.closest("[data-record]");
  if (!asked) return;
  event.preventDefault();
  showRecord(Number(asked.dataset.record));
});
$("#record").addEventListener("click", (event) => { if (event.target === event.currentTarget) event.target.close(); });

/* The table: filtered, sorted, by pages. */
const PAGE = 25;
const COLUMNS = [
  ["key", "Image"], ["status", "Status"], ["scale", "Scale", true], ["method_used", "Method", false, true], [".gain", "Gain, dB", true],
  [".psnr", "PSNR, dB", true, true], [".consistency", "Consistency", true, true], [".disagreement", "Disagreement", true, true], [".seconds", "Seconds", true],
];

async function showTable() {
  const held = await records, table = $("#table");
  if (!table) return;
  const shown = COLUMNS.filter(([name]) => name === "key" || held.names.includes(name));
  const all = [...Array(held.count).keys()];
  let matching = all, page = 0, sorted = null, downwards = false;

  const name = (place) => held.value("key", place) ?? held.value("source_uri", place);
  const last = () => Math.max(0, Math.ceil(matching.length / PAGE) - 1);

  function draw() {
    page = Math.min(Math.max(page, 0), last());
    const body = $("tbody", table);
    body.replaceChildren(...matching.slice(page * PAGE, (page + 1) * PAGE).map((place) => {
      const line = make("tr");
      for (const [column, , isNumber, isOptional] of shown) {
        const cell = make(column === "key" ? "th" : "td", column === "key" ? null : written(held.value(column, place), 3));
        if (column === "key") {
          cell.scope = "row";
          cell.append(make("button", name(place), { type: "button", "data-record": held.rows[place], title: name(place) }));
        }
        cell.classList.toggle("number", Boolean(isNumber));
        cell.classList.toggle("optional", Boolean(isOptional));
        if (column === "status") cell.classList.toggle("failed", held.value(column, place) !== "done");
        line.append(cell);
      }
      return line;
    }));
    $("#page").textContent = `Page ${page + 1} of ${last() + 1}`;
    $("#found").textContent = `${matching.length.toLocaleString("en")} image${matching.length === 1 ? "" : "s"}`;
    for (const button of $$(".pages [data-page]")) {
      button.disabled = ["first", "previous"].includes(button.dataset.page) ? page === 0 : page === last();
    }
    for (const [index, head] of $$("thead th", table).entries()) {
      const isIt = shown[index][0] === sorted;
      head.setAttribute("aria-sort", isIt ? (downwards ? "descending" : "ascending") : "none");
      $("span", head).textContent = isIt ? (downwards ? " ↓" : " ↑") : "";
    }
  }

  function select() {
    const text = $("#find").value.trim().toLowerCase(), status = $("#status").value;
    const has = (place) => [name(place), held.value("error_message", place)].some((cell) => String(cell ?? "").toLowerCase().includes(text));
    matching = all.filter((place) => (!status || held.value("status", place) === status) && (!text || has(place)));
    if (sorted) {
      const of = (place) => sorted === "key" ? name(place) : held.value(sorted, place), sign = downwards ? -1 : 1;
      matching.sort((a, b) => {
        const [one, other] = [of(a), of(b)];
        if (one === null || other === null) return (one === null) - (other === null);  // what has none comes last
        return sign * (typeof one === "number" ? one - other : String(one).localeCompare(String(other), "en", { numeric: true }));
      });
    }
    page = 0;
    draw();
  }

  function turn(where) {
    page = { first: 0, previous: page - 1, next: page + 1, last: last() }[where];
    const isInside = table.contains(document.activeElement);
    draw();
    if (isInside && !table.contains(document.activeElement)) table.focus();  // its line is gone, the keys go on
  }

  const heads = make("tr");
  for (const [column, title, isNumber, isOptional] of shown) {
    const head = make("th", null, { scope: "col" }), button = make("button", title, { type: "button" });
    button.append(make("span"));
    button.addEventListener("click", () => { downwards = sorted === column ? !downwards : false; sorted = column; select(); });
    head.classList.toggle("number", Boolean(isNumber));
    head.classList.toggle("optional", Boolean(isOptional));
    head.append(button);
    heads.append(head);
  }
  $("thead", table).append(heads);
  $(".filters").addEventListener("submit", (event) => event.preventDefault());
  $("#find").addEventListener("input", select);
  $("#status").addEventListener("change", select);
  for (const button of $$(".pages [data-page]")) button.addEventListener("click", () => turn(button.dataset.page));
  table.addEventListener("keydown", (event) => {
    const where = { ArrowLeft: "previous", ArrowRight: "next", Home: "first", End: "last" }[event.key];
    if (where && !event.altKey && !event.ctrlKey && !event.metaKey) { event.preventDefault(); turn(where); }
  });
  draw();
}
showTable();

/* Where the window shows a part of the map alone, its middle. */
for (const frame of $$(".maps")) frame.scrollLeft = (frame.scrollWidth - frame.clientWidth) / 2;
