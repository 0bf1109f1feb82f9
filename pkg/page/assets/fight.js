// One fight: what is fought over, by whom, since when, how fast, what Truce does about it; and its timeline.
import { h, fill, refill, path } from "./dom.js";
import {
  moment, clockMillis, day, iso, span, count, rate, plural, kindOf, objectOf, fieldOf, sentence, preventedOf,
} from "./format.js";
import { badge, isOlder } from "./fights.js";
import { matches } from "./source.js";
import { tell, addChange } from "./story.js";
import { Timeline } from "./timeline.js";
import { Writes, chip } from "./writes.js";

// headroom is how long before the first write that counts the timeline begins.
const headroom = 60e3;

// filterOf asks for the changes of a fight's field, whoever made them.
export const filterOf = (fight) => ({
  object: objectOf(fight.object), ...(fight.field ? { field: fight.field } : { fight: fight.id }),
  since: Date.parse(fight.firstSeen) - headroom,
});

export class Fight {
  constructor() {
    this.changes = [];
    this.head = h("div", { class: "title" });
    this.facts = h("dl", { class: "facts panel" });
    this.legend = h("div", { class: "legend panel" });
    this.turns = h("ol", { class: "turns" });
    this.timeline = new Timeline((marks, now) => this.writes.show(marks, now));
    this.writes = new Writes((m) => {
      this.timeline.mark(m);
      this.timeline.el.scrollIntoView({ block: "nearest" });
    });
    this.el = h("div", { class: "view" }, this.head, this.facts, this.timeline.el, this.legend,
      h("div", { class: "columns" }, this.writes.el,
        h("section", { class: "panel", "aria-labelledby": "turns-title" },
          h("div", { class: "bar" }, h("h2", { id: "turns-title" }, "Turns")), this.turns)));
  }

  show(fight, changes, now) {
    this.fight = fight;
    this.changes = changes.items;
    this.now = now;
    this.draw();
  }

  // take brings in what happened, and says whether that is worth a new picture.
  take(event, data) {
    const f = this.fight;
    if (event === "change") {
      return matches(data, { ...filterOf(f), since: undefined }) && addChange(this.changes, data);
    }
    if (data.id !== f.id || isOlder(data, f)) return false;
    this.fight = data;
    return true;
  }

  draw() {
    const { fight, now } = this;
    const story = tell(this.changes, fight, now);
    refill(this.head,
      h("p", { class: "crumbs" }, h("a", { href: "#/", "data-key": "list" }, "Fights"), " / ", h("span", null, fight.id)),
      h("h1", null, badge(fight.state), " ", h("code", null, path(fieldOf(fight.field)))),
      h("p", { class: "object" }, h("a", { href: changesLink(fight), "data-key": "object" }, objectOf(fight.object))),
      h("p", { class: "summary" }, sentence(fight), " ", standing(fight, now)));
    this.#facts();
    this.timeline.show(story);
    this.#legend(story);
    this.#turns();
  }

  #facts() {
    const { fight: f, now } = this;
    const fact = (name, value, note) => h("div", null, h("dt", null, name), h("dd", null, value, note && h("small", null, note)));
    const prevented = Object.entries(f.prevented ?? {}).filter(([, n]) => n).map(([what, n]) => `${count(n)} ${what}`).join(", ");
    const since = Date.parse(f.firstSeen);
    fill(this.facts,
      f.state === "Ended" ? fact("Per minute", "–", "it is over") : fact("Per minute", rate(f.ratePerMinute), "lately, attempts included"),
      fact("Reversals", count(f.reversals), `of ${plural(f.writes, "write")}`),
      fact("Prevented", count(preventedOf(f)), prevented || "none"),
      fact("First seen", h("time", { datetime: iso(since), title: iso(since) }, moment(since, now)), `${span(now - since)} ago`),
      fact("Detected", f.detected ? moment(Date.parse(f.detected), now) : "–",
        f.detected && `after ${span(Date.parse(f.detected) - since)}, ${f.signal}`),
      fact("Action", f.observedOnly ? "none" : f.action ?? "–", f.observedOnly ? "observed only" : `${f.mode}, rule ${f.rule}`));
  }

  #legend(story) {
    const values = [...(story.values?.values() ?? [])];
    const others = values.filter((v) => v.label === "·");
    fill(this.legend,
      h("h2", { class: "spoken" }, "Legend"),
      h("ul", null,
        values.filter((v) => v.label !== "·").map((v) => h("li", null, chip(v, true), h("small", null, count(v.count)))),
        others.length > 0 && h("li", null, h("span", { class: "chip" }, "·"), ` ${plural(others.length, "value")} without a name`)),
      h("ul", { class: "marks" },
        h("li", null, h("span", { class: "swatch full" }), "stored"),
        h("li", null, h("span", { class: "swatch hollow" }), "held or denied"),
        h("li", null, h("span", { class: "swatch join" }), "undoes"),
        h("li", null, h("span", { class: "swatch truce" }), "truce"),
        h("li", null, h("span", { class: "swatch probe" }), "probe")));
  }

  #turns() {
    fill(this.turns, [...(this.fight.turns ?? [])].reverse().map((turn) => {
      const t = Date.parse(turn.time);
      return h("li", { class: turn.turn },
        h("time", { datetime: iso(t), title: iso(t) }, `${day(t)} ${clockMillis(t)}`), h("span", null, saying(turn, this.now)));
    }));
  }
}

// changesLink leads to all changes of the fight's object.
function changesLink({ object }) {
  const query = new URLSearchParams({ kind: kindOf(object), name: object.name, since: "all" });
  if (object.namespace) query.set("namespace", object.namespace);
  return `#/changes?${query}`;
}

function saying(turn, now) {
  const until = turn.until ? ` until ${moment(Date.parse(turn.until), now)}` : "";
  const by = turn.by ? ` by ${turn.by}` : "";
  return {
    Started: `A truce begins${until}.`, Resumed: `The change was undone again. A longer truce begins${until}.`,
    Probed: "The truce is over. One change is let through, as a probe.", Ended: "The fight is over.",
    Noticed: "A loop is noticed. It is said, never acted on.", Released: `The truce is ended${by}.`,
    Pinned: `The fight is held down${by}${until}.`,
  }[turn.turn] ?? `${turn.turn}${by}${until}`;
}

function standing(fight, now) {
  const until = fight.until ? moment(Date.parse(fight.until), now) : "";
  if (fight.state === "Open" && until) return fight.mode === "Enforce" ? `A truce holds it down until ${until}.`
    : `In mode Enforce a truce would hold it down until ${until}.`;
  if (fight.state === "Probing") {
    const then = until ? `: if nobody undoes it until ${until}, the fight is over` : "";
    return `The truce is over, and one change was let through, as a probe${then}.`;
  }
  if (fight.state === "Ended" && fight.ended) return `It ended ${moment(Date.parse(fight.ended), now)}.`;
  return "";
}
