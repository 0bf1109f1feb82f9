// The list of fights.
import { h, refill, path } from "./dom.js";
import {
  moment, iso, span, count, rate, plural, kindOf, fieldOf, writerOf, preventedOf,
} from "./format.js";

const order = { Open: 0, Probing: 1, Noticed: 2, Ended: 3 };
const most = 200; // rows; more are behind a button

const isActive = (f) => f.state !== "Ended";

// isOlder says whether a fight as told is older than as known.
export const isOlder = (told, known) => Boolean(known) &&
  (Date.parse(told.lastSeen) < Date.parse(known.lastSeen) || lastTurn(told) < lastTurn(known));

const lastTurn = (f) => Date.parse(f.turns?.at(-1)?.time ?? f.firstSeen);

// badge says a fight's state in a word and a colour.
export function badge(state) {
  return h("span", { class: `badge ${state}` }, state);
}

const columns = [
  { name: "State", hide: "roomy" },
  { name: "Field" },
  { name: "Parties", hide: "roomy" },
  { name: "Signal", hide: "roomier" },
  { name: "Reversals", number: (f) => f.reversals, hide: "roomy" },
  { name: "Per minute", number: (f) => f.ratePerMinute },
  { name: "Prevented", number: preventedOf, hide: "roomy" },
  { name: "First seen", number: (f) => Date.parse(f.firstSeen), hide: "roomy" },
  { name: "Until", hide: "roomy" },
];

export class Fights {
  // live is false for a report: it looks back.
  constructor(live) {
    this.live = live;
    this.all = new Map();
    this.sort = null; // a column, or null: what goes on first, the fastest first
    this.room = most;
    this.which = live ? "active" : "all";
    this.headline = h("span", { role: "status" }, "Fights");
    this.summary = h("p", { class: "summary" });
    this.search = h("input", {
      type: "search", placeholder: "Filter by object, field or writer", "aria-label": "Filter fights", oninput: () => this.draw(),
    });
    this.tabs = h("div", { class: "tabs", role: "group", "aria-label": "Which fights" },
      ["active", "ended", "all"].map((which) => h("button", {
        type: "button", "data-which": which, "aria-pressed": String(which === this.which), onclick: () => this.#choose(which),
      }, which[0].toUpperCase() + which.slice(1), h("span", { class: "n" }))));
    this.head = h("tr");
    this.body = h("tbody");
    this.empty = h("p", { class: "empty", hidden: true });
    this.more = h("button", { type: "button", hidden: true, onclick: () => { this.room += most; this.draw(); } }, "Show more");
    this.el = h("div", { class: "view" },
      h("div", { class: "title" }, h("h1", null, this.headline), this.summary),
      h("div", { class: "filters" }, this.tabs, this.search),
      h("section", { class: "panel", "aria-label": "List of fights" },
        h("table", { class: "fights" }, h("thead", null, this.head), this.body), this.empty, this.more));
  }

  show(fights, now) {
    this.all = new Map(fights.map((f) => [f.id, f]));
    this.now = now;
    if (this.which === "active" && fights.length && !fights.some(isActive)) this.#choose("all");
    else this.draw();
  }

  // take brings in what happened, and says whether that is worth a new picture.
  take(event, fight) {
    if (event !== "fight" || isOlder(fight, this.all.get(fight.id))) return false;
    this.all.set(fight.id, fight);
    return true;
  }

  #choose(which) {
    this.which = which;
    for (const b of this.tabs.children) b.setAttribute("aria-pressed", String(b.dataset.which === which));
    this.draw();
  }

  draw() {
    const all = [...this.all.values()];
    const active = all.filter(isActive);
    this.#say(all, active);
    const numbers = { active: active.length, ended: all.length - active.length, all: all.length };
    for (const b of this.tabs.children) b.lastChild.textContent = numbers[b.dataset.which];
    const of = { active, ended: all.filter((f) => !isActive(f)), all }[this.which];
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.#sorted(of.filter((f) => words.every((w) => textOf(f).includes(w))));
    refill(this.head, columns.map((c) => this.#header(c)));
    refill(this.body, found.slice(0, this.room).map((f) => row(f, this.now, this.live)));
    this.more.hidden = found.length <= this.room;
    this.empty.hidden = found.length > 0;
    this.empty.textContent = words.length ? "No fight fits this filter."
      : this.which === "active" ? "Nobody is fighting." : "No fights yet.";
  }

  #say(all, active) {
    const fights = active.filter((f) => f.kind !== "loop");
    const found = all.filter((f) => f.kind !== "loop").length;
    const text = !this.live ? (found ? `${plural(found, "fight")} found` : "No fights found")
      : fights.length === 0 ? "Nobody is fighting"
      : fights.length === 1 ? "One fight is going on" : `${count(fights.length)} fights are going on`;
    if (this.headline.textContent !== text) this.headline.textContent = text;
    const loops = this.live ? active.length - fights.length : all.length - found;
    const perMinute = !this.live ? 0 : active.reduce((sum, f) => sum + (f.ratePerMinute ?? 0), 0);
    const prevented = all.reduce((sum, f) => sum + preventedOf(f), 0);
    this.summary.textContent = [
      loops && plural(loops, "loop"),
      perMinute && `${rate(perMinute)} contested writes per minute`,
      `${plural(prevented, "write")} prevented`,
    ].filter(Boolean).join(" · ");
  }

  #sorted(fights) {
    const { sort } = this;
    if (sort) return fights.sort((a, b) => sort.by * ((sort.column.number(a) ?? 0) - (sort.column.number(b) ?? 0)));
    return fights.sort((a, b) => order[a.state] - order[b.state] || (isActive(a)
      ? (b.ratePerMinute ?? 0) - (a.ratePerMinute ?? 0) : Date.parse(b.lastSeen) - Date.parse(a.lastSeen)));
  }

  #header(c) {
    if (!c.number) return h("th", { scope: "col", class: c.hide }, c.name);
    const by = this.sort?.column === c ? this.sort.by : 0;
    const onclick = () => {
      this.sort = by === 1 ? null : { column: c, by: by === -1 ? 1 : -1 };
      this.draw();
    };
    return h("th", {
      scope: "col", class: `number ${c.hide ?? ""}`, "aria-sort": by ? (by > 0 ? "ascending" : "descending") : "none",
    }, h("button", { type: "button", class: "plain", "data-key": c.name, onclick }, c.name, by ? (by > 0 ? " ↑" : " ↓") : ""));
  }
}

const textOf = (f) => `${kindOf(f.object)}/${f.object.namespace}/${f.object.name} ${f.field ?? ""} ${f.signal} ` .toLowerCase() +
  (f.parties ?? []).map((w) => `${w.user ?? ""} ${writerOf(w)}`).join(" ").toLowerCase();

function row(f, now, live) {
  const { object } = f;
  const until = f.state === "Open" || f.state === "Probing" ? f.until : f.ended;
  const when = until ? `${f.state === "Ended" ? "ended " : ""}${moment(Date.parse(until), now)}` : "–";
  const parties = (f.parties ?? []).map((w) => h("div", { class: "cut", title: `${writerOf(w)} (${w.user ?? ""})` }, writerOf(w)));
  return h("tr", { class: f.state },
    h("td", { class: "roomy" }, badge(f.state)),
    h("td", { class: "what" },
      h("div", { class: "narrow" }, badge(f.state), until ? ` ${f.state === "Ended" ? "" : "until "}${when}` : ""),
      h("a", { href: `#/fights/${encodeURIComponent(f.id)}`, "data-key": f.id },
        h("span", { class: "muted" }, path(`${kindOf(object)}/${object.namespace ? `${object.namespace}/` : ""}`), h("wbr")),
        h("b", null, path(object.name))),
      h("code", null, path(fieldOf(f.field))),
      h("div", { class: "narrow muted" }, (f.parties ?? []).map((w) => h("div", { class: "cut" }, writerOf(w))))),
    h("td", { class: "roomy" }, parties),
    h("td", { class: "roomier" }, f.signal, f.observedOnly && h("div", { class: "muted" }, "observed only")),
    h("td", { class: "number roomy" }, count(f.reversals)),
    h("td", { class: "number" }, f.state === "Ended" ? "–" : rate(f.ratePerMinute)),
    h("td", { class: "number roomy" }, count(preventedOf(f))),
    h("td", { class: "number roomy", title: iso(Date.parse(f.firstSeen)) }, 
      live ? `${span(now - Date.parse(f.firstSeen))} ago` : moment(Date.parse(f.firstSeen), now)),
    h("td", { class: "until roomy", title: until ? iso(Date.parse(until)) : null }, when));
}
