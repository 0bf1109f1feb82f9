// A table of writes, newest first: what the timeline shows, in words.
import { h, refill, path } from "./dom.js";
import { clockMillis, day, iso, writerOf, objectOf, fieldOf, plural } from "./format.js";
import { describe } from "./values.js";
import { outcomes } from "./timeline.js";

const page = 25;

// chip shows a value by its letter and colour; in words beside it, if it has room.
export function chip(v, words) {
  const look = v && v.colour >= 0 ? `chip value-${v.colour}` : "chip";
  const text = describe(v);
  const special = v?.value === "absent" || v?.value === "present";
  return h("span", { class: "value", title: text },
    h("span", { class: look, "aria-hidden": words || special ? "true" : null }, v?.label ?? "?"),
    words && h("span", { class: "words" }, v?.label && v.colour >= 0 ? text.replace(/^[A-H] /, "") : text));
}

const header = (name, hide) => h("th", { scope: "col", role: "columnheader", class: hide }, name);

export class Writes {
  // onpick is called with the mark whose time a person chose.
  constructor(onpick, withField = false) {
    this.onpick = onpick;
    this.withField = withField;
    this.room = page;
    this.body = h("tbody", { role: "rowgroup" });
    this.count = h("span", { class: "muted" });
    this.more = h("button", { type: "button", onclick: () => { this.room += page * 8; this.#draw(); } }, "Show more");
    this.el = h("section", { class: "panel writes", "aria-labelledby": "writes-title" },
      h("div", { class: "bar" }, h("h2", { id: "writes-title" }, "Writes in view"), this.count),
      h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Table of writes" },
        h("table", { role: "table" }, // said, since a narrow screen's style takes it apart
          h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
            header("Time"), withField && header("Field"), header("Writer"), header("Verb", "roomy"), header("Change"), header("Outcome"))),
          this.body)),
      this.more);
  }

  // show lists marks; now decides which of them were today.
  show(marks, now) {
    this.now = now;
    const newest = marks.at(-1);
    const same = this.marks && marks.length === this.marks.length && newest === this.marks.at(-1) && marks[0] === this.marks[0];
    if (same) return;
    this.marks = marks;
    this.#draw();
  }

  #draw() {
    const shown = this.marks.slice(-this.room).reverse();
    this.count.textContent = this.marks.length > shown.length
      ? `newest ${shown.length} of ${plural(this.marks.length, "write")}` : plural(this.marks.length, "write");
    this.more.hidden = shown.length === this.marks.length;
    refill(this.body, shown.map((m) => this.#row(m)));
  }

  #row(m) {
    const c = m.change;
    const cell = (props, ...children) => h("td", { role: "cell", ...props }, ...children);
    return h("tr", { role: "row" },
      cell({ class: "time" },
        h("button", {
          type: "button", class: "plain", "data-key": `${c.time} ${m.lane.key}`, title: `${iso(m.t)}: show on the timeline`, onclick: () => this.onpick(m),
        }, day(m.t) !== day(this.now) && `${day(m.t)} `, clockMillis(m.t))),
      this.withField && cell({ class: "field" },
        h("div", null, path(objectOf(c.object))), h("code", null, path(fieldOf(c.field)))),
      cell({ class: "writer", title: writerOf(c.writer) }, writerOf(c.writer)),
      cell({ class: "roomy muted" }, (c.verb ?? "").toLowerCase()),
      cell({ class: "change" }, c.from === c.to
        ? [chip(m.value, true), h("span", { class: "arrow" }, "again")]
        : [chip(m.lane.values.get(c.from ?? ""), true), h("span", { class: "arrow" }, "→"), chip(m.value, true)]),
      cell({ class: "outcome", title: outcomes[c.outcome] ?? null },
        h("span", { class: `dot ${c.outcome}` }), c.outcome,
        c.reversal && h("span", { class: "reversal", title: "brings back an earlier value" },
          "↩", h("span", { class: "roomy" }, " reversal"))));
  }
}
