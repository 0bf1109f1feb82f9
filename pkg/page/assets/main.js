// The page: the header, which view the address asks for, and keeping that view up to date.
import { h, fill, soon } from "./dom.js";
import { useUTC, isUTC, moment } from "./format.js";
import { Server, Embedded, Refused, queryOf } from "./source.js";
import { Fights } from "./fights.js";
import { Fight, filterOf } from "./fight.js";
import { Changes, filterFrom } from "./changes.js";
import { sectionsOf } from "./sections.js";

const carried = document.getElementById("data");
const source = carried ? new Embedded(JSON.parse(carried.textContent)) : new Server();
const now = () => (source.live ? Date.now() : source.now);
const main = document.getElementById("main");

const state = h("span", { class: "status", role: "status" });
const zoneButton = h("button", { type: "button", onclick: () => { useUTC(!isUTC()); nameZone(); current?.draw(); } });
const links = { "": h("a", { href: "#/" }, "Fights"), changes: h("a", { href: "#/changes" }, "Changes") };
const notice = h("div", { class: "notice", role: "alert", hidden: true });
let current = null; // the view shown
let listening = null; // aborts the stream
let followed; // what it is filtered by
let routed = 0; // counts addresses, so that a late answer to an earlier one is dropped
let shown; // the address of what is shown
const missed = []; // events since the view was asked for: its answer may be older

function nameZone() {
  zoneButton.textContent = isUTC() ? "UTC" : "Local time";
  zoneButton.setAttribute("aria-label", `${zoneButton.textContent}: change the time zone`);
}

function header() {
  nameZone();
  fill(document.getElementById("top"),
    h("a", { class: "brand", href: "#/" }, "Truce"),
    h("nav", { "aria-label": "Views" }, Object.values(links)),
    h("div", { class: "right" }, state, zoneButton));
  if (source.live) return;
  state.classList.add("about-report");
  state.textContent = `Report of ${moment(source.now, 0)}`;
}

// address reads the hash: {path: ["fights", id], query}.
function address() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decodeURIComponent), query: Object.fromEntries(new URLSearchParams(query)) };
}

async function route(focus) {
  const mine = ++routed;
  const hash = location.hash;
  const late = () => mine !== routed || hash !== location.hash; // the latter: the event that says so is still to come
  missed.length = 0;
  const { path, query } = address();
  for (const [name, link] of Object.entries(links)) {
    const here = name === "changes" ? path[0] === "changes" : path[0] !== "changes";
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  try {
    const show = await ask(path, query);
    if (late()) return;
    const view = show();
    complain(null);
    if (current !== view) fill(main, notice, view.el, view.after);
    current = view;
    shown = hash;
    for (const [event, data] of missed.splice(0)) take(event, data);
    document.title = titleOf(path);
    if (focus) {
      main.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  } catch (err) {
    if (late()) return;
    if (shown !== hash) { // what is shown is not what was asked for
      current = null;
      for (const el of [...main.childNodes]) if (el !== notice) el.remove(); // it may be typed into: it keeps the focus
    }
    complain(err);
  }
}

const titleOf = (path) => {
  const what = path[0] === "changes" ? "Changes" : path[0] === "fights" ? `${path[1]}` : "Fights";
  return `${what} · ${carried ? source.data.title || "Truce report" : "Truce"}`;
};

// ask gets what an address shows, and returns a function that shows it, and returns the view: by the time that the answer is
// there, another address may be wanted.
async function ask(path, query) {
  if (path[0] === "fights" && path[1]) {
    const fight = await source.fight(path[1]);
    const filter = filterOf(fight);
    await follow(filter);
    const changes = await source.changes(filter);
    return () => {
      const view = current instanceof Fight && current.fight?.id === fight.id ? current : new Fight();
      view.show(fight, changes, now());
      return view;
    };
  }
  if (path[0] === "changes") {
    const asked = source.live ? query : { ...query, since: "all" };
    const filter = filterFrom(asked, now());
    await follow(filter);
    const changes = await source.changes(filter);
    return () => {
      const view = current instanceof Changes ? current : new Changes(goTo, source.live);
      view.show(asked, filter, changes, now());
      return view;
    };
  }
  await follow({ fight: "none" }); // changes do not matter here
  const fights = await source.fights();
  return () => {
    const view = current instanceof Fights ? current : new Fights(source.live);
    view.show(fights, now());
    if (carried && !view.after) {
      view.el.prepend(about());
      view.after = h("div", { class: "view" }, sectionsOf(source.data));
    }
    return view;
  };
}

// about is what a report says of itself: its title, and facts such as what was read.
function about() {
  const { title, text, facts } = source.data;
  return h("header", { class: "about" },
    h("p", { class: "about-title" }, title || "Truce report"), text && h("p", null, text),
    facts?.length > 0 && h("dl", { class: "facts panel" },
      facts.map((f) => h("div", null, h("dt", null, f.name), h("dd", null, f.value, f.note && h("small", null, f.note))))));
}

function goTo(query) {
  const hash = `#/changes?${new URLSearchParams(query)}`;
  if (location.hash !== hash) location.hash = hash;
}

// The field for a token stays as it is while it is typed into, however often the server refuses something.
const question = h("h1");
const token = h("input", { type: "password", autocomplete: "off", "aria-label": "Bearer token", placeholder: "Bearer token" });
const form = h("form", {
  onsubmit(e) {
    e.preventDefault();
    source.token = token.value.trim();
    token.value = "";
    followed = undefined;
    route();
  },
}, token, h("button", null, "Use"));

// complain shows what went wrong, and asks for a token if that is what it takes.
function complain(err) {
  notice.hidden = !err;
  if (!err) {
    fill(notice);
    return;
  }
  if (!notice.isConnected) main.prepend(notice);
  if (!(err instanceof Refused)) {
    fill(notice, h(current ? "p" : "h1", null, err.message), h("button", { type: "button", onclick: () => route() }, "Try again"));
    return;
  }
  question.textContent = err.message;
  if (form.isConnected) return;
  const hint = "It is kept until this tab is closed. kubectl create token NAME makes one.";
  fill(notice, h("div", null, question, h("small", null, hint)), form);
}

// A picture drawn anew takes away what somebody is about to click on or to copy, so it waits until they are done.
let pressed = false;
let waits = false;
const redraw = soon(() => {
  waits = pressed || !getSelection().isCollapsed;
  if (!waits) current?.draw();
}, 250);

function press(to) {
  pressed = to;
  if (waits) redraw();
}
addEventListener("pointerdown", () => press(true), true);
addEventListener("pointerup", () => press(false), true);
addEventListener("pointercancel", () => press(false), true);
document.addEventListener("selectionchange", () => waits && redraw());

// take brings an event into the view, and keeps it for one that is still being asked for.
function take(event, data) {
  missed.push([event, data]);
  if (missed.length > 1000) missed.shift();
  if (!current) return;
  if (current.take(event, data)) {
    current.now = now();
    redraw();
  }
}

// follow listens to the events of what a view shows, before it asks for what was: so nothing in between is missed.
async function follow(filter) {
  if (!source.live || String(queryOf(filter)) === followed) return;
  followed = String(queryOf(filter));
  listening?.abort();
  listening = new AbortController();
  const { signal } = listening;
  const connected = new Promise((resolve) => {
    let before = "";
    source.listen(filter, {
      fight: (fight) => take("fight", fight),
      change: (change) => take("change", change),
      state(s) {
        state.className = `status ${s}`;
        state.textContent = s === "live" ? "Live" : "Reconnecting";
        if (s === "live" && before === "away") route(); // what happened meanwhile
        before = s;
        resolve();
      },
      refused(err) {
        complain(err);
        resolve();
      },
    }, signal);
  });
  await Promise.race([connected, new Promise((resolve) => setTimeout(resolve, 1000))]);
}

if (source.live) {
  setInterval(() => { // ages grow
    if (!current || document.hidden || current instanceof Changes) return;
    current.now = now();
    redraw();
  }, 5000);
}

header();
addEventListener("hashchange", () => route(true));
route();
