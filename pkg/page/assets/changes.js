// All changes, whether anybody fights or not: filtered by namespace, kind, name, field, manager and time.
import { h, fill, refill, path } from "./dom.js";
import { kindOf, objectOf, fieldOf, writerKey, moment, iso, count, plural, toInput, fromInput } from "./format.js";
import { tell, addChange } from "./story.js";
import { Timeline } from "./timeline.js";
import { Writes } from "./writes.js";
import { matches } from "./source.js";

const sinces = {
  "15m": ["Last 15 minutes", 15 * 60e3], "1h": ["Last hour", 3600e3], "6h": ["Last 6 hours", 6 * 3600e3],
  "24h": ["Last 24 hours", 86400e3], all: ["Everything", 0],
};
const most = 100; // fields listed
const keys = ["namespace", "kind", "name", "field", "manager"];

// filterFrom makes of an address's query what a source is asked.
export function filterFrom(query, now) {
  const filter = {};
  for (const key of keys) filter[key] = query[key] || undefined;
  const length = sinces[query.since ?? "1h"]?.[1];
  filter.since = length ? now - length : undefined;
  const until = Date.parse(query.until ?? "");
  filter.until = Number.isNaN(until) ? undefined : until;
  if (filter.kind && filter.name) filter.object = [filter.kind, filter.namespace, filter.name].filter(Boolean).join("/");
  return filter;
}

export class Changes {
  // go is called with the filters that a person chose, as they stand in the address.
  constructor(go, live) {
    this.go = go;
    this.inputs = {};
    this.lists = {};
    const input = (name, label) => {
      this.lists[name] = h("datalist", { id: `known-${name}` });
      this.inputs[name] = h("input", { name, list: `known-${name}`, autocomplete: "off", spellcheck: "false" });
      return h("label", null, label, this.inputs[name], this.lists[name]);
    };
    this.inputs.since = h("select", { name: "since" },
      Object.entries(sinces).map(([value, [text]]) => h("option", { value }, text)));
    this.inputs.until = h("input", { name: "until", type: "datetime-local", step: "1" });
    this.form = h("form", {
      class: "filters form", "aria-label": "Filters", onsubmit: (e) => { e.preventDefault(); this.#submit(); },
      onchange: () => this.#submit(),
    },
      input("namespace", "Namespace"), input("kind", "Kind"), input("name", "Name"), input("field", "Field"), input("manager", "Manager"),
      h("label", null, "Since", this.inputs.since), h("label", null, "Until", this.inputs.until),
      h("button", { type: "reset", onclick: (e) => { e.preventDefault(); this.#clear(); } }, "Clear"));
    this.headline = h("h1", null, "Changes");
    this.summary = h("p", { class: "summary", role: "status" });
    this.body = h("tbody");
    this.timeline = new Timeline((marks, now) => this.writes.show(marks, now));
    this.writes = new Writes((m) => this.timeline.mark(m), true);
    this.fields = h("section", { class: "panel", "aria-labelledby": "fields-title" },
      h("div", { class: "bar" }, h("h2", { id: "fields-title" }, "Fields written")),
      h("table", { class: "fields" },
        h("thead", null, h("tr", null, h("th", { scope: "col" }, "Field"), h("th", { scope: "col", class: "number" }, "Writers"),
          h("th", { scope: "col", class: "number" }, "Writes"), h("th", { scope: "col", class: "number" }, "Reversals"),
          h("th", { scope: "col", class: "roomy" }, "Last"))),
        this.body));
    this.el = h("div", { class: "view" }, h("div", { class: "title" }, this.headline, this.summary), this.form,
      this.timeline.el, this.fields, this.writes.el);
    if (!live) this.inputs.since.closest("label").hidden = true;
  }

  show(query, filter, changes, now) {
    const address = JSON.stringify(query);
    Object.assign(this, { query, asked: filter, changes: changes.items, truncated: changes.truncated, now });
    if (address !== this.address) this.#say(query, filter); // else something may be half typed
    this.address = address;
    this.draw();
  }

  #say(query, filter) {
    for (const key of keys) this.inputs[key].value = query[key] ?? "";
    this.inputs.until.value = filter.until ? toInput(filter.until) : "";
    this.inputs.since.value = query.since ?? "1h";
  }

  // take brings in what happened, and says whether that is worth a new picture.
  take(event, c) {
    return event === "change" && matches(c, { ...this.asked, since: undefined }) && addChange(this.changes, c);
  }

  #clear() {
    for (const key of [...keys, "until"]) this.inputs[key].value = "";
    this.#submit();
  }

  #submit() {
    const query = {};
    for (const [key, el] of Object.entries(this.inputs)) if (el.value) query[key] = el.value;
    if (query.until) query.until = iso(fromInput(query.until)); // an address means the same everywhere
    this.go(query);
  }

  draw() {
    const groups = group(this.changes);
    const one = groups.length === 1;
    fill(this.headline, one ? [fieldOf(groups[0].field), h("span", { class: "muted" }, " of "), objectOf(groups[0].object)] : "Changes");
    const fights = new Set(this.changes.map((c) => c.fight).filter(Boolean));
    fill(this.summary, `${plural(this.changes.length, "write")} of ${plural(groups.length, "field")}`,
      one ? [...fights].map((id) => [" · ", h("a", { href: `#/fights/${encodeURIComponent(id)}` }, `fight ${id}`)]).flat()
        : fights.size ? ` · ${plural(fights.size, "fight")}` : "", this.truncated && " · older ones are left out");
    const drawn = one ? this.changes : busiest(this.changes, groups);
    this.timeline.show(tell(drawn, null, this.now, one ? "writer" : "field"));
    this.fields.hidden = one || !groups.length;
    refill(this.body, groups.slice(0, most).map((g) => this.#row(g)));
    this.#suggest();
  }

  #row(g) {
    const { object } = g;
    const query = new URLSearchParams({ ...this.query, kind: kindOf(object), name: object.name, field: g.field });
    if (object.namespace) query.set("namespace", object.namespace);
    return h("tr", null,
      h("td", { class: "what" }, h("a", { href: `#/changes?${query}`, "data-key": g.key }, path(objectOf(object))), h("code", null, path(fieldOf(g.field)))),
      h("td", { class: "number" }, count(g.writers.size)), h("td", { class: "number" }, count(g.writes)),
      h("td", { class: "number" }, count(g.reversals)),
      h("td", { class: "roomy", title: iso(g.last) }, moment(g.last, this.now)));
  }

  #suggest() {
    const of = {
      namespace: (c) => c.object.namespace, kind: (c) => kindOf(c.object), name: (c) => c.object.name, field: (c) => c.field,
      manager: (c) => c.writer?.manager,
    };
    for (const key of keys) {
      const known = new Set(this.changes.map(of[key]).filter(Boolean));
      fill(this.lists[key], [...known].sort().slice(0, 200).map((value) => h("option", { value })));
    }
  }
}

// group counts changes by field of an object: the most often written first.
function group(changes) {
  const groups = new Map();
  for (const c of changes) {
    const key = `${objectOf(c.object)} ${c.field}`;
    let g = groups.get(key);
    if (!g) groups.set(key, (g = { key, object: c.object, field: c.field, writers: new Set(), writes: 0, reversals: 0, last: 0 }));
    g.writers.add(writerKey(c.writer));
    g.writes++;
    if (c.reversal) g.reversals++;
    g.last = Date.parse(c.time);
  }
  return [...groups.values()].sort((a, b) => b.reversals - a.reversals || b.writes - a.writes);
}

// busiest keeps the changes of the first fields, as many as have room as lanes.
function busiest(changes, groups) {
  const lanes = 12;
  if (groups.length <= lanes) return changes;
  const kept = new Set(groups.slice(0, lanes).map((g) => g.key));
  return changes.filter((c) => kept.has(`${objectOf(c.object)} ${c.field}`));
}
