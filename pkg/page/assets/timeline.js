// The timeline: a canvas that shows a story, can be zoomed with mouse, finger and keys, and read aloud write by write.
import { h, fill } from "./dom.js";
import { clockMillis, writerOf, plural, span, count } from "./format.js";
import { describe } from "./values.js";
import { layout, paint, themeOf, Scale, yOf } from "./paint.js";
import { firstAtOrAfter } from "./story.js";

const shortest = 50; // ms; no zooming further in than this
const reach = 14; // px from a mark that still hit it

export const outcomes = {
  Stored: "stored", Warned: "stored, with a warning", Held: "held: the stored value was kept", Rejected: "rejected",
  Throttled: "throttled", DryRun: "dry run", Unseen: "stored, seen only afterwards",
};

// say describes a mark in one sentence.
function say(story, m) {
  const c = m.change;
  const values = m.lane.values;
  const move = c.from === c.to
    ? `${describe(values.get(c.to))} again`
    : `${describe(values.get(c.from))} to ${describe(values.get(c.to))}`;
  const undone = m.undoes < 0 ? null : story.marks[m.undoes].change.writer;
  const what = !c.reversal ? ""
    : undone ? `, undoing ${writerOf(undone) === writerOf(c.writer) ? "its own write" : writerOf(undone)}`
    : ", a reversal";
  return `${clockMillis(m.t)} ${writerOf(c.writer)}: ${move}, ${outcomes[c.outcome] ?? c.outcome}${what}`;
}

export class Timeline {
  // onview is called with the marks in view and the present, whenever they change.
  constructor(onview = () => {}) {
    this.onview = onview;
    this.view = null; // null shows everything
    this.marked = null;
    this.canvas = h("canvas", {
      tabindex: 0, role: "application", "aria-roledescription": "timeline", "aria-describedby": "timeline-keys",
    });
    this.labels = h("div", { class: "lane-labels", "aria-hidden": "true" });
    this.tip = h("div", { class: "tip", "aria-hidden": "true", hidden: true });
    this.brush = h("div", { class: "brush", hidden: true });
    this.spoken = h("p", { class: "spoken", role: "status" });
    this.stage = h("div", { class: "stage" }, this.canvas, this.labels, this.brush, this.tip);
    this.range = h("span", { class: "range" });
    this.detection = this.#button("Detection", "Detection: zoom to that moment", () => this.#zoomToDetection());
    this.el = h("section", { class: "timeline panel", "aria-label": "Timeline" },
      h("div", { class: "bar" },
        this.range,
        h("div", { class: "buttons" },
          this.detection,
          this.#button("−", "Zoom out", () => this.zoom(2)),
          this.#button("+", "Zoom in", () => this.zoom(0.5)),
          this.#button("All", "All: show everything", () => this.look(null)))),
      this.stage,
      this.spoken,
      h("p", { class: "hint", id: "timeline-keys" },
        "Left and right step through the writes, up and down change lanes, + and − zoom, 0 shows all. ",
        "Drag to zoom into a stretch of time."));
    this.#listen();
  }

  #button(text, label, onclick) {
    return h("button", { type: "button", "aria-label": label, title: label, onclick }, text);
  }

  // show replaces the story; what was in view and marked stays so.
  show(story) {
    const kept = this.marked?.change;
    this.story = story;
    this.marked = kept ? story.marks.find((m) => m.change === kept) ?? null : null;
    this.place = layout(story);
    this.detection.hidden = !story.fight?.detected;
    this.canvas.setAttribute("aria-label",
      `Timeline of ${plural(story.marks.length, "write")} in ${plural(story.lanes.length, "lane")}`);
    fill(this.labels, story.lanes.map((lane, i) => {
      const label = h("div", { class: "lane-label" },
        h("span", { class: "lane-name", title: lane.label.name }, lane.label.name),
        lane.label.detail && h("code", null, lane.label.detail),
        h("span", { class: "lane-count" }, plural(lane.marks.length, "write")));
      label.style.top = `${this.place.lanes[i].top}px`;
      return label;
    }));
    this.refresh();
  }

  window() {
    return this.view ?? { begin: this.story.begin, end: this.story.end };
  }

  // look shows a stretch of time, or everything.
  look(view) {
    if (view && view.end - view.begin < shortest) {
      const middle = (view.begin + view.end) / 2;
      view = { begin: middle - shortest / 2, end: middle + shortest / 2 };
    }
    const whole = this.story.end - this.story.begin;
    this.view = view && view.end - view.begin < whole * 1.2 ? view : null;
    this.refresh();
  }

  // zoom makes the view times as long, around the marked write, the time given or the middle.
  zoom(times, around) {
    const { begin, end } = this.window();
    const marked = this.marked && this.marked.t >= begin && this.marked.t <= end ? this.marked.t : undefined;
    const t = around ?? marked ?? (begin + end) / 2;
    this.look({ begin: t - (t - begin) * times, end: t + (end - t) * times });
  }

  pan(share) {
    const { begin, end } = this.window();
    const by = (end - begin) * share;
    this.look({ begin: begin + by, end: end + by });
  }

  #zoomToDetection() {
    const t = Date.parse(this.story.fight.detected);
    const before = this.story.marks[Math.max(0, firstAtOrAfter(this.story.marks, t) - 24)];
    const half = Math.max(before ? t - before.t : 0, 2000) * 1.1;
    this.look({ begin: t - half, end: t + half });
  }

  // mark emphasises a write, brings it into view and says it.
  mark(m) {
    this.marked = m;
    if (m) {
      const { begin, end } = this.window();
      if (m.t < begin || m.t > end) this.view = { begin: m.t - (end - begin) / 2, end: m.t + (end - begin) / 2 };
    }
    this.spoken.textContent = m ? say(this.story, m) : "";
    this.refresh();
  }

  // refresh draws at the next frame, once.
  refresh() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const width = this.stage.clientWidth;
    if (!width || !this.story) return;
    const started = performance.now();
    const ratio = window.devicePixelRatio || 1;
    const { canvas, place } = this;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(place.height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(place.height * ratio);
      canvas.style.height = `${place.height}px`;
    }
    const ctx = canvas.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.theme ??= themeOf(this.el);
    const view = this.window();
    paint(ctx, this.story, view, place, width, this.theme, this.marked);
    const from = firstAtOrAfter(this.story.marks, view.begin);
    const to = firstAtOrAfter(this.story.marks, view.end + 1);
    this.range.textContent = `${plural(to - from, "write")} in ${span(view.end - view.begin)}` +
      (this.story.dropped ? `; the oldest ${count(this.story.dropped)} are not drawn` : "") +
      (this.story.skipped ? `; ${count(this.story.skipped)} in further lanes are not drawn` : "");
    this.onview(this.story.marks.slice(from, to), this.story.now);
    canvas.dataset.drawn = (performance.now() - started).toFixed(2); // ms, for tests
  }

  // at finds the mark nearest to a point of the canvas.
  at(x, y) {
    const scale = new Scale(this.window(), this.stage.clientWidth);
    let best = null;
    let distance = reach;
    for (const [i, lane] of this.place.lanes.entries()) {
      if (y < lane.top || y >= lane.bottom) continue;
      const { marks } = this.story.lanes[i];
      const from = firstAtOrAfter(marks, scale.time(x - reach));
      for (let j = from; j < marks.length; j++) {
        const dx = Math.abs(scale.x(marks[j].t) - x);
        if (marks[j].t > scale.time(x + reach)) break;
        const d = Math.hypot(dx, (yOf(this.place, marks[j]) - y) / 2);
        if (d < distance) [best, distance] = [marks[j], d];
      }
    }
    return best;
  }

  #listen() {
    new ResizeObserver(() => this.refresh()).observe(this.stage);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.theme = null;
      this.refresh();
    });
    this.canvas.addEventListener("keydown", (e) => this.#key(e));
    this.canvas.addEventListener("wheel", (e) => this.#wheel(e), { passive: false });
    this.canvas.addEventListener("pointerdown", (e) => this.#down(e));
    this.canvas.addEventListener("pointermove", (e) => this.#move(e));
    this.canvas.addEventListener("pointerup", (e) => this.#up(e));
    this.canvas.addEventListener("pointercancel", () => this.#drop());
    this.canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
    this.canvas.addEventListener("dblclick", () => this.look(null));
  }

  #key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const { marks } = this.story;
    const step = (by) => this.mark(marks[Math.min(Math.max((this.marked?.at ?? this.#entry(by)) + by, 0), marks.length - 1)]);
    const acts = {
      ArrowRight: () => (e.shiftKey ? this.pan(0.25) : step(1)),
      ArrowLeft: () => (e.shiftKey ? this.pan(-0.25) : step(-1)),
      ArrowDown: () => this.#lane(1),
      ArrowUp: () => this.#lane(-1),
      Home: () => this.mark(marks[0]),
      End: () => this.mark(marks.at(-1)),
      "+": () => this.zoom(0.5),
      "=": () => this.zoom(0.5),
      "-": () => this.zoom(2),
      0: () => this.look(null),
      Escape: () => (this.marked ? this.mark(null) : this.look(null)),
    };
    if (!acts[e.key] || !marks.length) return;
    e.preventDefault();
    acts[e.key]();
  }

  // entry is where stepping starts when nothing is marked: at the edge of the view.
  #entry(by) {
    const { begin, end } = this.window();
    return by > 0 ? firstAtOrAfter(this.story.marks, begin) - 1 : firstAtOrAfter(this.story.marks, end + 1);
  }

  #lane(by) {
    if (!this.marked) return this.mark(this.story.marks[Math.min(this.#entry(1) + 1, this.story.marks.length - 1)]);
    const lane = this.story.lanes[this.marked.lane.at + by];
    if (!lane) return;
    const next = firstAtOrAfter(lane.marks, this.marked.t);
    const [a, b] = [lane.marks[next - 1], lane.marks[next]];
    this.mark(!a || (b && b.t - this.marked.t < this.marked.t - a.t) ? b : a);
  }

  #wheel(e) {
    const scale = new Scale(this.window(), this.stage.clientWidth);
    if (e.ctrlKey || e.metaKey) this.zoom(Math.exp(e.deltaY / 200), scale.time(e.offsetX));
    else if (Math.abs(e.deltaX) > Math.abs(e.deltaY)) this.pan(e.deltaX / this.stage.clientWidth);
    else return;
    e.preventDefault();
  }

  #down(e) {
    if (e.button !== 0) return;
    this.canvas.setPointerCapture(e.pointerId);
    this.drag = { x: e.offsetX, view: this.window(), touch: e.pointerType === "touch", far: false };
  }

  #move(e) {
    const { drag } = this;
    if (!drag) return this.#hover(e.offsetX, e.offsetY);
    const by = e.offsetX - drag.x;
    drag.far ||= Math.abs(by) > 4;
    if (!drag.far) return;
    this.tip.hidden = true;
    if (drag.touch) { // a finger moves the time
      const shift = -by / new Scale(drag.view, this.stage.clientWidth).perMs;
      this.look({ begin: drag.view.begin + shift, end: drag.view.end + shift });
      return;
    }
    this.brush.hidden = false;
    this.brush.style.left = `${Math.min(drag.x, e.offsetX)}px`;
    this.brush.style.width = `${Math.abs(by)}px`;
  }

  #up(e) {
    const { drag } = this;
    this.#drop();
    if (!drag) return;
    if (!drag.far) return this.mark(this.at(e.offsetX, e.offsetY));
    if (drag.touch) return;
    const scale = new Scale(drag.view, this.stage.clientWidth);
    const [a, b] = [scale.time(drag.x), scale.time(e.offsetX)];
    this.look({ begin: Math.min(a, b), end: Math.max(a, b) });
  }

  #drop() {
    this.drag = null;
    this.brush.hidden = true;
  }

  #hover(x, y) {
    const m = this.at(x, y);
    this.tip.hidden = !m;
    if (!m) return;
    this.tip.textContent = say(this.story, m);
    const left = Math.min(Math.max(x - 130, 4), this.stage.clientWidth - 268);
    this.tip.style.left = `${Math.max(left, 4)}px`;
    this.tip.style.top = `${yOf(this.place, m) + 14}px`;
  }
}
