// What a report says besides fights and changes: texts and tables, given as data.
import { h } from "./dom.js";

export function sectionsOf(data) {
  return (data.sections ?? []).map((s, i) =>
    h("section", { class: "panel section", id: `section-${i}`, "aria-labelledby": `section-title-${i}` },
      h("div", { class: "bar" }, h("h2", { id: `section-title-${i}` }, s.title)),
      s.text && h("p", null, s.text),
      s.rows?.length > 0 && h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": `Table: ${s.title}` },
        h("table", null,
          h("thead", null, h("tr", null, s.columns.map((c) => h("th", { scope: "col", class: alignment(c) }, c.name)))),
          h("tbody", null, s.rows.map((cells) => h("tr", null, cells.map((cell, at) => cellOf(cell, s.columns[at]))))))),
      s.rows?.length === 0 && h("p", { class: "empty" }, s.empty || "None.")));
}

const alignment = (c) => (c?.kind === "number" ? "number" : null);

function cellOf(cell, column) {
  if (Array.isArray(cell)) return h("td", null, bars(cell));
  const text = typeof cell === "number" ? cell.toLocaleString("en-US") : String(cell ?? "");
  return h("td", { class: alignment(column) }, column?.kind === "code" ? h("code", null, text) : text);
}

// bars draws a series of numbers small.
function bars(numbers) {
  const top = Math.max(...numbers, 1e-9);
  const width = 3 * numbers.length;
  const said = `${numbers.length} values, at most ${top.toLocaleString("en-US")}`;
  const rects = numbers.map((n, i) => {
    const height = n > 0 ? Math.max((n / top) * 20, 1) : 0;
    return h("rect", { svg: true, x: 3 * i, y: 20 - height, width: 2, height });
  });
  return h("svg", { svg: true, class: "bars", viewBox: `0 0 ${width} 20`, width, height: 20, role: "img", "aria-label": said }, rects);
}
