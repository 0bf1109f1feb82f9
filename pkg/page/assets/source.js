// Where fights and changes come from: Truce's API, or what a report carries in itself. Both have the same methods.
import { objectOf } from "./format.js";

const tokenKey = "truce.token";
const api = "api/v1/"; // relative to where the page is served

// Refused is the server's 401: it wants a token, or another one.
export class Refused extends Error {}

export class Server {
  live = true;

  get token() {
    return sessionStorage.getItem(tokenKey) ?? "";
  }

  set token(value) {
    if (value) sessionStorage.setItem(tokenKey, value);
    else sessionStorage.removeItem(tokenKey);
  }

  async fights() {
    return (await this.#json("fights")).items ?? [];
  }

  fight(id) {
    return this.#json(`fights/${encodeURIComponent(id)}`);
  }

  // changes returns {items, truncated}: changes in order of time, and whether older ones were left out. The server
  // filters by what it knows; what it does not, matches filters.
  async changes(filter) {
    const query = queryOf(filter);
    for (const key of ["since", "until"]) if (filter[key]) query.set(key, new Date(filter[key]).toISOString());
    const { items, truncated } = await this.#json(`changes?${query}`);
    return { items: inOrder(items ?? []).filter((c) => matches(c, filter)), truncated };
  }

  // listen calls on.fight and on.change for what happens from now on (of changes: those that fit filter), and on.state
  // with "live" or "away", until signal is aborted. It reads with fetch because an EventSource cannot send a token.
  async listen(filter, on, signal) {
    for (let wait = 1000; !signal.aborted; wait = Math.min(wait * 2, 30000)) {
      try {
        const response = await this.#fetch(`events?${queryOf(filter)}`, { signal, headers: { Accept: "text/event-stream" } });
        on.state("live");
        wait = 500;
        await readEvents(response.body, (event, data) => on[event]?.(JSON.parse(data)));
      } catch (err) {
        if (signal.aborted) return;
        if (err instanceof Refused) return on.refused(err);
      }
      on.state("away");
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  async #json(path) {
    return (await this.#fetch(path, { headers: { Accept: "application/json" } })).json();
  }

  async #fetch(path, options) {
    const { token } = this;
    if (token) options.headers[tokenHeader()] = `Bearer ${token}`;
    const response = await fetch(api + path, { ...options, cache: "no-store", redirect: "error" });
    if (response.ok) return response;
    const text = (await response.text()).trim().slice(0, 300);
    if (response.status === 401) throw new Refused(token ? "The server does not accept this token." : "The server asks for a token.");
    throw new Error(`The server answered ${response.status}${text ? `: ${text}` : ""}`);
  }
}

// queryOf is the part of a filter that the API takes, without times.
export function queryOf({ object, kind, namespace, field, manager, fight }) {
  const taken = { object: object ?? kind, namespace, field, manager, fight };
  return new URLSearchParams(Object.entries(taken).filter(([, value]) => value));
}

// Behind the API server's proxy the usual header is for the API server.
const tokenHeader = () => (location.pathname.includes("/proxy/") ? "X-Truce-Authorization" : "Authorization");

// readEvents reads server-sent events until the stream ends.
export async function readEvents(body, on) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = "";
  let data = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (data.length) on(event || "message", data.join("\n"));
        event = "";
        data = [];
      } else if (line.startsWith("event:")) event = line.slice(6).trim();
      else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
    }
  }
}

// Embedded is what a report carries in itself.
export class Embedded {
  live = false;

  constructor(data) {
    this.data = data;
    this.now = Date.parse(data.generated);
    inOrder(data.changes ??= []);
    data.fights ??= [];
  }

  async fights() {
    return this.data.fights;
  }

  async fight(id) {
    const found = this.data.fights.find((f) => f.id === id);
    if (!found) throw new Error(`This report has no fight ${id}.`);
    return found;
  }

  async changes(filter) {
    return { items: this.data.changes.filter((c) => matches(c, filter)) };
  }
}

function inOrder(changes) {
  const at = new Map(changes.map((c) => [c, Date.parse(c.time)]));
  return changes.sort((a, b) => at.get(a) - at.get(b));
}

// matches says whether a change is one that filter asks for; an empty filter asks for all.
export function matches(c, filter) {
  const { object } = c;
  return (!filter.object || objectOf(object) === filter.object) &&
    (!filter.field || c.field === filter.field || isBelow(c.field, filter.field)) &&
    (!filter.manager || [c.writer?.manager, c.writer?.user, c.writer?.pod].includes(filter.manager)) &&
    (!filter.fight || c.fight === filter.fight) &&
    (!filter.namespace || (object.namespace ?? "") === filter.namespace) &&
    (!filter.kind || (object.group ? `${object.resource}.${object.group}` : object.resource) === filter.kind) &&
    (!filter.name || object.name === filter.name) &&
    (!filter.since || Date.parse(c.time) >= filter.since) &&
    (!filter.until || Date.parse(c.time) <= filter.until);
}

// isBelow says whether field begins like one that ends in *, such as metadata.annotations*. (A list ends in [*].)
const isBelow = (field, like) => like.endsWith("*") && !like.endsWith("[*") && field.startsWith(like.slice(0, -1));
