// How times, counts, objects and writers are written. Times are milliseconds since 1970.

let zone; // undefined is the browser's own
const formats = new Map();

export function useUTC(yes) {
  zone = yes ? "UTC" : undefined;
  formats.clear();
}

export const isUTC = () => zone === "UTC";

function formatted(name, options, t) {
  if (!formats.has(name)) {
    formats.set(name, new Intl.DateTimeFormat("en-GB", { ...options, hourCycle: "h23", timeZone: zone }));
  }
  return formats.get(name).format(t);
}

const hms = { hour: "2-digit", minute: "2-digit", second: "2-digit" };

export const clock = (t) => formatted("clock", hms, t);
export const clockMinutes = (t) => formatted("minutes", { hour: "2-digit", minute: "2-digit" }, t);
export const clockMillis = (t) => formatted("millis", { ...hms, fractionalSecondDigits: 3 }, t);
export const day = (t) => formatted("day", { day: "numeric", month: "short" }, t);

// moment is the clock, and the day too unless that is today's.
export function moment(t, now) {
  return day(t) === day(now) ? clock(t) : `${day(t)} ${clock(t)}`;
}

export const iso = (t) => new Date(t).toISOString();

// toInput and fromInput are for <input type="datetime-local">, which knows no time zone.
export const toInput = (t) => iso(isUTC() ? t : t - new Date(t).getTimezoneOffset() * 60e3).slice(0, 19);
export const fromInput = (text) => Date.parse(isUTC() ? `${text}Z` : text);

const units = [[86400e3, "d"], [3600e3, "h"], [60e3, "min"], [1e3, "s"]];

// span says how long ms is, with two units at most: "2 h 5 min".
export function span(ms) {
  if (ms < 1000) return ms < 1 ? "0 s" : `${Math.round(ms)} ms`;
  const at = units.findIndex(([size]) => ms >= size);
  const [size, unit] = units[at];
  const whole = Math.floor(ms / size);
  const next = units[at + 1];
  const rest = next && whole < 10 ? Math.floor((ms % size) / next[0]) : 0;
  return rest ? `${whole} ${unit} ${rest} ${next[1]}` : `${whole} ${unit}`;
}

export const count = (n) => (n ?? 0).toLocaleString("en-US");

export function rate(perMinute) {
  if (!perMinute) return "0";
  if (perMinute >= 10) return count(Math.round(perMinute));
  return perMinute >= 0.1 ? perMinute.toFixed(1) : "< 0.1";
}

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

// kindOf is an object's resource with its group, as kubectl takes it: deployments.apps.
export const kindOf = (o) => (o.group ? `${o.resource}.${o.group}` : o.resource);

// objectOf names an object in full: deployments.apps/shop/web; the namespace is left out where there is none.
export const objectOf = (o) => [kindOf(o), o.namespace, o.name].filter(Boolean).join("/");

// shortUser drops what every service account's name begins with.
const shortUser = (user) => (user ?? "").replace(/^system:serviceaccount:([^:]+):/, "$1/");

// writerOf names a writer: the user, the manager where it says more, the pod where it is known.
export function writerOf(w) {
  const user = shortUser(w?.user);
  if (!user && !w?.manager) return "unknown writer";
  let name = user || `manager ${w.manager}`;
  if (user && w.manager && !user.endsWith(`/${w.manager}`) && user !== w.manager) name += ` as ${w.manager}`;
  return w.pod ? `${name} in pod ${w.pod}` : name;
}

export const writerKey = (w) => JSON.stringify([w?.user ?? "", w?.manager ?? "", w?.pod ?? ""]);

export const fieldOf = (field) => (field === "$exists" ? "existence" : field || "writes that change nothing");

// sentence says who fights, as a person would.
export function sentence(fight) {
  const names = (fight.parties ?? []).map(writerOf);
  if (fight.kind === "loop") return `${names.join(" and ") || "A writer"} keeps writing, and nobody is helped by it.`;
  if (names.length === 0) return "Writers undo each other.";
  if (names.length === 1) return `${names[0]} undoes itself.`;
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)} undo each other.`;
}

export const preventedOf = (fight) => Object.values(fight.prevented ?? {}).reduce((a, b) => a + b, 0);
