// A story is what the timeline draws: lanes of marks, the joins between them, and the phases of the fight.
import { writerOf, writerKey, objectOf, fieldOf } from "./format.js";
import { nameValues } from "./values.js";

// Marks beyond this are not drawn; the oldest go first.
const maxMarks = 20000;
export const maxRows = 4; // in a lane
export const maxLanes = 24;

const prevented = new Set(["Held", "Rejected", "Throttled"]);
const hollow = new Set([...prevented, "DryRun"]);

// tell makes a story of changes in order of time. by is "writer", or "field" where they are about several fields.
export function tell(changes, fight, now, by = "writer") {
  const first = Math.max(0, changes.length - maxMarks);
  const writes = first ? changes.slice(first) : changes;
  const lanes = new Map();
  const last = new Map(); // field of an object → the index of the write stored last
  const marks = [];
  for (const c of writes) {
    const field = by === "field" ? `${objectOf(c.object)} ${c.field}` : "";
    const key = by === "field" ? field : writerKey(c.writer);
    let lane = lanes.get(key);
    if (!lane) {
      if (lanes.size === maxLanes) continue;
      lanes.set(key, (lane = { key, at: lanes.size, label: labelOf(c, by), writes: [], marks: [] }));
    }
    const mark = {
      change: c, at: marks.length, t: Date.parse(c.time), lane, row: 0,
      hollow: hollow.has(c.outcome), prevented: prevented.has(c.outcome), undoes: -1,
    };
    if (!mark.hollow) {
      if (c.reversal) mark.undoes = last.get(field) ?? -1;
      last.set(field, mark.at);
    }
    lane.writes.push(c);
    lane.marks.push(mark);
    marks.push(mark);
  }
  const all = [...lanes.values()];
  if (by === "field") { // the most contested first
    for (const lane of all) lane.reversals = lane.writes.filter((c) => c.reversal).length;
    all.sort((a, b) => b.reversals - a.reversals || b.writes.length - a.writes.length);
    all.forEach((lane, i) => (lane.at = i));
  }
  const shared = by === "writer" ? nameValues(writes) : null;
  for (const lane of all) settle(lane, shared ?? nameValues(lane.writes));
  const phases = phasesOf(fight, now);
  return {
    fight, now, marks, lanes: all, phases, values: shared, dropped: first,
    skipped: writes.length - marks.length, ...extent(marks, fight, now),
  };
}

function labelOf(c, by) {
  if (by === "writer") return { name: writerOf(c.writer), detail: "" };
  return { name: objectOf(c.object), detail: fieldOf(c.field) };
}

// settle gives each value of a lane a row, so that a writer at odds with itself is seen to go up and down.
function settle(lane, values) {
  lane.values = values;
  const labels = new Set();
  for (const m of lane.marks) {
    m.value = values.get(m.change.to ?? "");
    labels.add(m.value.label);
  }
  const rows = [...labels].sort();
  for (const m of lane.marks) m.row = Math.min(rows.indexOf(m.value.label), maxRows - 1);
  lane.height = Math.min(Math.max(rows.length, 1), maxRows);
}

// phasesOf turns a fight's turns into stretches of time: {kind: "truce" or "probe", from, to, until}.
function phasesOf(fight, now) {
  const phases = [];
  let open = null;
  const close = (t) => {
    if (open) open.to = Math.min(open.to, t);
    open = null;
  };
  for (const turn of fight?.turns ?? []) {
    const t = Date.parse(turn.time);
    const until = turn.until ? Date.parse(turn.until) : undefined;
    close(t);
    const kind = { Started: "truce", Resumed: "truce", Pinned: "truce", Probed: "probe" }[turn.turn];
    if (kind) phases.push((open = { kind, pinned: turn.turn === "Pinned", from: t, to: until ?? Infinity, until }));
  }
  if (open && open.to === Infinity) open.to = now;
  return phases;
}

// extent is the stretch of time to show: all marks and turns, and the present while the fight goes on.
function extent(marks, fight, now) {
  const times = (fight?.turns ?? []).map((turn) => Date.parse(turn.time));
  if (marks.length) times.push(marks[0].t, marks.at(-1).t);
  for (const t of [fight?.firstSeen, fight?.detected]) if (t) times.push(Date.parse(t));
  if (fight && (fight.state === "Open" || fight.state === "Probing")) times.push(now);
  if (!times.length) times.push(now - 60e3, now);
  const begin = times.reduce((a, b) => Math.min(a, b));
  const end = times.reduce((a, b) => Math.max(a, b));
  const margin = Math.max((end - begin) * 0.02, 500);
  return { begin: begin - margin, end: end + margin };
}

// buckets counts stored and prevented writes per step of time.
export function buckets(story, begin, end, step) {
  const from = Math.floor(begin / step) * step;
  const n = Math.max(1, Math.ceil((end - from) / step));
  const stored = new Uint32Array(n);
  const stopped = new Uint32Array(n);
  for (let i = firstAtOrAfter(story.marks, from); i < story.marks.length; i++) {
    const m = story.marks[i];
    const at = Math.floor((m.t - from) / step);
    if (at >= n) break;
    if (m.prevented) stopped[at]++;
    else if (!m.hollow) stored[at]++;
  }
  let top = 0;
  for (let i = 0; i < n; i++) top = Math.max(top, stored[i] + stopped[i]);
  return { from, step, stored, stopped, top };
}

// addChange puts a change at the end of changes, unless it is there already, and says whether it did.
export function addChange(changes, c) {
  const same = (o) => o.time === c.time && o.to === c.to && o.field === c.field && o.outcome === c.outcome &&
    o.object.name === c.object.name && o.object.namespace === c.object.namespace && writerKey(o.writer) === writerKey(c.writer);
  if (changes.slice(-200).some(same)) return false;
  changes.push(c);
  if (changes.length > maxMarks * 1.1) changes.splice(0, changes.length - maxMarks);
  return true;
}

// firstAtOrAfter finds a time among marks in order of time.
export function firstAtOrAfter(marks, t) {
  let low = 0;
  let high = marks.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (marks[mid].t < t) low = mid + 1;
    else high = mid;
  }
  return low;
}
