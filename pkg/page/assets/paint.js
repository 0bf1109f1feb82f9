// Draws a story on a canvas. It is drawn whole each time: 10,000 marks take a few milliseconds.
import { clock, clockMillis, clockMinutes, day, rate } from "./format.js";
import { ticks, stepAtLeast, roundUp } from "./axis.js";
import { buckets, firstAtOrAfter, maxLanes, maxRows } from "./story.js";

const side = 12; // left and right of everything, in pixels
const chart = { top: 20, bottom: 76 };
const strip = { top: 90, bottom: 108 };
const lanesTop = 114;
const labelHeight = 22;
const lanePad = 9;
const axisHeight = 24;
// Few rows are drawn larger.
const sizes = [{ row: 22, mark: 15, widest: 14, letter: 10 }, { row: 17, mark: 12, widest: 11, letter: 9 }];
const fewRows = 8;
const thin = 4; // px; narrower marks have no outline

// layout says where a story's lanes are, and how high it is.
export function layout(story) {
  const rows = story.lanes.reduce((sum, lane) => sum + lane.height, 0);
  const size = sizes[rows <= fewRows ? 0 : 1];
  let y = lanesTop;
  const lanes = story.lanes.map((lane) => {
    const top = y;
    y += labelHeight + lane.height * size.row + lanePad;
    return { top, rows: top + labelHeight, bottom: y };
  });
  if (!lanes.length) y += 48;
  return { ...size, lanes, bottom: y, height: y + axisHeight };
}

// Scale turns times into pixels and back.
export class Scale {
  constructor(view, width) {
    this.begin = view.begin;
    this.end = view.end;
    this.left = side;
    this.right = Math.max(width - side, side + 1);
    this.perMs = (this.right - this.left) / Math.max(this.end - this.begin, 1e-3);
  }
  x(t) {
    return this.left + (t - this.begin) * this.perMs;
  }
  time(x) {
    return this.begin + (x - this.left) / this.perMs;
  }
}

// themeOf reads the colours from the style sheet, so that light and dark are said in one place.
export function themeOf(el) {
  const style = getComputedStyle(el);
  const get = (name) => style.getPropertyValue(`--${name}`).trim();
  const colours = {};
  for (const name of ["ink", "muted", "faint", "line", "panel", "truce", "truce-edge", "probe", "probe-edge", "alarm",
    "stopped", "stored", "join", "other", "on-value"]) {
    colours[name] = get(name);
  }
  colours.values = Array.from({ length: 8 }, (_, i) => get(`value-${i}`));
  colours.font = style.fontFamily;
  return colours;
}

export function yOf(place, mark) {
  return place.lanes[mark.lane.at].rows + (mark.row + 0.5) * place.row;
}

// paint draws story within view; marked is the mark to emphasise, if any.
export function paint(ctx, story, view, place, width, theme, marked) {
  const scale = new Scale(view, width);
  ctx.clearRect(0, 0, width, place.height);
  ctx.lineWidth = 1;
  ctx.textBaseline = "alphabetic";
  phases(ctx, story, scale, place, theme);
  grid(ctx, scale, place, theme);
  captions(ctx, story, scale, place, theme);
  chartOf(ctx, story, scale, theme);
  const from = Math.max(0, firstAtOrAfter(story.marks, view.begin - 20 / scale.perMs) - 1);
  const to = firstAtOrAfter(story.marks, view.end + 20 / scale.perMs);
  const widths = markWidths(story, from, to, scale, place);
  ctx.save();
  ctx.beginPath();
  ctx.rect(0, strip.bottom, width, place.bottom - strip.bottom);
  ctx.clip();
  joins(ctx, story, from, to, scale, place, theme);
  marks(ctx, story, from, to, scale, place, theme, widths);
  ctx.restore();
  flags(ctx, story, scale, place, theme);
  if (marked) ring(ctx, marked, scale, place, theme, widths[marked.lane.at]);
}

function phases(ctx, story, scale, place, theme) {
  for (const p of story.phases) {
    const left = Math.max(scale.x(p.from), 0);
    const right = Math.min(scale.x(p.to), scale.right + side);
    if (right < 0 || left > scale.right + side || right <= left) continue;
    ctx.fillStyle = theme[p.kind];
    ctx.fillRect(left, strip.top, right - left, place.bottom - strip.top);
  }
}

// captions draws the edges of phases, and the names of those that have room for it: over the grid's lines.
function captions(ctx, story, scale, place, theme) {
  ctx.font = `600 11px ${theme.font}`;
  for (const p of story.phases) {
    const left = Math.max(scale.x(p.from), 0);
    const right = Math.min(scale.x(p.to), scale.right + side);
    if (right <= left) continue;
    ctx.fillStyle = theme[`${p.kind}-edge`];
    ctx.fillRect(left, strip.top, Math.max(right - left, 1), 2);
    if (left > 0) ctx.fillRect(left, strip.top, 1, place.bottom - strip.top);
    const name = p.kind === "probe" ? "Probe" : p.pinned ? "Pinned" : "Truce";
    const until = p.until && p.kind === "truce" ? `${name} until ${clock(p.until)}` : name;
    const text = [until, name].find((s) => ctx.measureText(s).width + 12 <= right - left);
    if (!text) continue;
    ctx.fillStyle = theme[p.kind];
    ctx.fillRect(left + 1, strip.top + 2, ctx.measureText(text).width + 9, strip.bottom - strip.top - 2);
    ctx.fillStyle = theme.ink;
    ctx.fillText(text, left + 6, strip.bottom - 4);
  }
}

function grid(ctx, scale, place, theme) {
  const { step, at } = ticks(scale.begin, scale.end, scale.right - scale.left, 96);
  const label = step < 1000 ? clockMillis : step < 60e3 ? clock : step < 86400e3 ? clockMinutes : day;
  ctx.font = `11px ${theme.font}`;
  ctx.textAlign = "center";
  let before = "";
  for (const t of at) {
    const x = Math.round(scale.x(t)) + 0.5;
    ctx.strokeStyle = theme.line;
    line(ctx, x, chart.top, x, place.bottom);
    const text = label(t);
    const half = ctx.measureText(text).width / 2;
    ctx.fillStyle = theme.muted;
    if (x - half > 0 && x + half < scale.right + side) ctx.fillText(text, x, place.bottom + 16);
    const date = day(t);
    if (before && date !== before && step < 86400e3) {
      ctx.strokeStyle = theme.faint;
      line(ctx, x, chart.top, x, place.bottom);
    }
    before = date;
  }
  ctx.textAlign = "left";
  ctx.strokeStyle = theme.line;
  for (const lane of place.lanes) line(ctx, 0, lane.bottom + 0.5, scale.right + side, lane.bottom + 0.5);
  line(ctx, 0, strip.top - 6.5, scale.right + side, strip.top - 6.5);
}

function line(ctx, x0, y0, x1, y1) {
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
  ctx.stroke();
}

// chartOf draws writes per minute over time: stored ones full, prevented ones hollow on top of them.
function chartOf(ctx, story, scale, theme) {
  const step = stepAtLeast(5 / scale.perMs);
  const b = buckets(story, scale.begin, scale.end, step);
  const perMinute = 60e3 / step;
  const top = roundUp(b.top * perMinute);
  const height = chart.bottom - chart.top;
  const px = step * scale.perMs;
  const gap = px > 4 ? 1 : 0;
  ctx.font = `11px ${theme.font}`;
  ctx.fillStyle = theme.muted;
  const text = `${rate(top)} writes per minute`;
  const wide = ctx.measureText(text).width;
  const flags = [story.fight?.detected, story.fight?.ended].filter(Boolean).map((t) => scale.x(Date.parse(t)));
  const free = (x) => flags.every((f) => f < x - 75 || f > x + wide + 75); // of the names of flags
  const x = [scale.right - wide, scale.left, (scale.left + scale.right - wide) / 2].find(free);
  if (x !== undefined) ctx.fillText(text, x, chart.top - 6);
  ctx.strokeStyle = theme.line;
  line(ctx, 0, chart.top + 0.5, scale.right + side, chart.top + 0.5);
  ctx.strokeStyle = theme.faint;
  line(ctx, 0, chart.bottom + 0.5, scale.right + side, chart.bottom + 0.5);
  for (let i = 0; i < b.stored.length; i++) {
    const x = scale.x(b.from + i * step);
    const stored = (b.stored[i] * perMinute * height) / top;
    const stopped = (b.stopped[i] * perMinute * height) / top;
    ctx.fillStyle = theme.stored;
    if (stored) ctx.fillRect(x, chart.bottom - stored, px - gap, stored);
    if (!stopped) continue;
    const y = chart.bottom - stored - stopped;
    ctx.globalAlpha = 0.22;
    ctx.fillStyle = theme.stopped;
    ctx.fillRect(x, y, px - gap, stopped);
    ctx.globalAlpha = 1;
    ctx.fillRect(x, y, px - gap, Math.min(1.5, stopped));
  }
}

// markWidths fits the marks of each lane to the room that most of them have.
function markWidths(story, from, to, scale, place) {
  const before = new Map();
  const gaps = story.lanes.map(() => []);
  for (let i = from; i < to; i++) {
    const m = story.marks[i];
    const row = m.lane.at * maxRows + m.row;
    if (before.has(row)) gaps[m.lane.at].push((m.t - before.get(row)) * scale.perMs);
    before.set(row, m.t);
  }
  return gaps.map((of) => {
    of.sort((a, b) => a - b);
    return of.length ? Math.min(place.widest, Math.max(2, of[Math.floor(of.length / 4)] * 0.72)) : place.widest;
  });
}

// joins links each reversal to the write it undid. Lines that would cover one another are drawn once.
function joins(ctx, story, from, to, scale, place, theme, size) {
  const room = (scale.right - scale.left) / Math.max(to - from, 1);
  ctx.globalAlpha = Math.min(1, Math.max(0.12, room / 8)); // many lines are a shade behind the marks
  ctx.strokeStyle = theme.join;
  ctx.beginPath();
  let seen = "";
  for (let i = from; i < story.marks.length; i++) {
    const m = story.marks[i];
    if (m.undoes < 0) continue;
    const undone = story.marks[m.undoes];
    if (i >= to && undone.at >= to) break;
    const x0 = scale.x(undone.t);
    const x1 = scale.x(m.t);
    const y0 = yOf(place, undone);
    const y1 = yOf(place, m);
    const key = `${Math.round(x0)} ${y0} ${Math.round(x1)} ${y1}`;
    if (key === seen) continue;
    seen = key;
    ctx.moveTo(x0, y0);
    if (y0 === y1) ctx.quadraticCurveTo((x0 + x1) / 2, y0 - place.row, x1, y1);
    else ctx.lineTo(x1, y1);
  }
  ctx.stroke();
  ctx.globalAlpha = 1;
}

function marks(ctx, story, from, to, scale, place, theme, widths) {
  const columns = new Map(); // marks too thin for an outline, by pixel and row
  ctx.font = `700 ${place.letter}px ${theme.font}`;
  ctx.textAlign = "center";
  for (let i = from; i < to; i++) {
    const m = story.marks[i];
    const x = scale.x(m.t);
    const size = widths[m.lane.at];
    if (size >= thin) {
      one(ctx, m, x, yOf(place, m), place, theme, size);
      continue;
    }
    const key = (Math.round(x) * maxLanes + m.lane.at) * maxRows + m.row;
    const column = columns.get(key);
    if (!column) columns.set(key, { mark: m, x: Math.round(x), size, full: m.hollow ? 0 : 1, all: 1 });
    else {
      column.all++;
      if (!m.hollow) column.full++;
    }
  }
  ctx.textAlign = "left";
  crowd(ctx, columns, place, theme);
}

// crowd draws marks that share their pixels: as high as the share of them that was stored, on a light ground.
function crowd(ctx, columns, place, theme) {
  for (const c of columns.values()) {
    const y = yOf(place, c.mark);
    const height = (place.mark * c.full) / c.all;
    ctx.fillStyle = colourOf(c.mark, theme);
    if (c.full < c.all) {
      ctx.globalAlpha = 0.25;
      ctx.fillRect(c.x - c.size / 2, y - place.mark / 2, c.size, place.mark);
      ctx.globalAlpha = 1;
    }
    if (height) ctx.fillRect(c.x - c.size / 2, y + place.mark / 2 - height, c.size, height);
  }
}

const colourOf = (m, theme) => (m.value && m.value.colour >= 0 ? theme.values[m.value.colour] : theme.other);

function one(ctx, m, x, y, place, theme, size) {
  const colour = colourOf(m, theme);
  const label = m.value?.label;
  const radius = Math.min(3, size / 3);
  ctx.beginPath();
  if (m.hollow) {
    ctx.roundRect(x - size / 2 + 0.75, y - place.mark / 2 + 0.75, size - 1.5, place.mark - 1.5, radius);
    ctx.fillStyle = theme.panel;
    ctx.fill();
    ctx.lineWidth = 1.5;
    ctx.strokeStyle = colour;
    ctx.stroke();
    ctx.lineWidth = 1;
  } else {
    ctx.roundRect(x - size / 2, y - place.mark / 2, size, place.mark, radius);
    ctx.fillStyle = colour;
    ctx.fill();
  }
  if (size < 10 || !label || label === "·") return;
  ctx.fillStyle = m.hollow ? colour : theme["on-value"];
  ctx.fillText(label, x, y + place.letter * 0.37);
}

// flags marks the moment of detection, and of the end.
function flags(ctx, story, scale, place, theme) {
  if (!story.fight) return;
  const flag = (time, text, colour) => {
    const x = Math.round(scale.x(Date.parse(time))) + 0.5;
    if (!(x > 0 && x < scale.right + side)) return;
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.5;
    line(ctx, x, chart.top - 2, x, place.bottom);
    ctx.lineWidth = 1;
    ctx.font = `600 11px ${theme.font}`;
    const wide = ctx.measureText(text).width + 10;
    const left = x + wide > scale.right + side ? x - wide : x;
    ctx.fillStyle = colour;
    ctx.fillRect(left, 2, wide, 16);
    ctx.fillStyle = theme.panel;
    ctx.fillText(text, left + 5, 14);
  };
  if (story.fight.ended) flag(story.fight.ended, "Ended", theme.muted);
  if (story.fight.detected) flag(story.fight.detected, "Detected", theme.alarm);
}

function ring(ctx, m, scale, place, theme, size) {
  const x = scale.x(m.t);
  const y = yOf(place, m);
  ctx.strokeStyle = theme.ink;
  ctx.lineWidth = 2;
  ctx.beginPath();
  ctx.roundRect(x - size / 2 - 3, y - place.mark / 2 - 3, size + 6, place.mark + 6, 4);
  ctx.stroke();
  ctx.lineWidth = 1;
}
