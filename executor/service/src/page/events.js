// A tab's end of the events that all tabs of the browser share. The stream itself is in a shared worker or, in browsers
// that have none, in the tab that holds a lock; when that tab is closed, another takes its place.

import { Hub, NAME } from "./hub.js";
import { Problem, read, token } from "./service.js";

// The hub speaks every 5 s.
const SILENT_MS = 20_000;
const LOCKS = globalThis.navigator.locks;

let listener = { list() {}, state() {}, problem() {} };
let watched = null;
let port = null;
let heard = 0;
let release = () => {};
let shared = globalThis.SharedWorker !== undefined;

// Follows what all migrations do. `on` has `list` (something began or ended), `state` and `problem`.
export function listen(on) {
  listener = on;
  if (port === null) setInterval(lookAfter, SILENT_MS / 4);
  connect();
}

// Gives `take` every event of one migration, from its first to its last, each once. `over` says that it had ended before;
// `reset` is called when what was taken is of another store.
export async function watch(id, signal, { take, over, reset }) {
  const watching = { id, last: null, ready: null, again: false, behind: true, ended: false, wake: null };
  const taken = ({ id: place, ...told }) => {
    if (watching.ended || !isAfter(place, watching.last)) return;
    watching.last = place;
    watching.ended = told.event.ended !== undefined;
    take(told);
  };
  watching.event = (event) => {
    if (watching.behind) watching.again = true;
    else taken(event);
    if (watching.ended) watching.wake?.();
  };
  watching.missed = () => {
    watching.again = true;
    if (!watching.behind) watching.wake?.();
  };
  watched = watching;
  signal.addEventListener("abort", () => watching.wake?.());
  await new Promise((ready) => {
    // A hub that never answers must not hide what the history has.
    setTimeout(ready, 2000);
    watching.ready = ready;
    send({ watch: id });
  });
  let pause = 250;
  while (!signal.aborted && !watching.ended) {
    watching.behind = true;
    watching.again = false;
    let more = false;
    try {
      const after = watching.last === null ? "" : `?after=${watching.last}`;
      const page = await read(`/api/v1/migrations/${id}/history${after}`, { signal });
      page.events.forEach(taken);
      more = page.more;
      pause = 250;
    } catch (error) {
      if (signal.aborted) break;
      if (error instanceof Problem && error.document.code === "events.unknown-id") {
        watching.last = null;
        reset();
      } else if (error instanceof Problem && error.document.status < 500 && error.document.status !== 429) throw error;
      await new Promise((done) => setTimeout(done, pause));
      pause = Math.min(pause * 2, 4000);
      continue;
    }
    if (more || watching.again) continue;
    if (watching.ended || over) break;
    // Now the events come by themselves, until some are missed.
    const woken = new Promise((wake) => { watching.wake = wake; });
    watching.behind = false;
    await woken;
    watching.wake = null;
  }
  if (watched === watching) {
    watched = null;
    send({ watch: null });
  }
}

function isAfter(place, last) {
  if (last === null) return true;
  const [[number, part], [lastNumber, lastPart]] = [place, last].map((one) => one.split(".").map(Number));
  return number > lastNumber || (number === lastNumber && part > lastPart);
}

function take({ data }) {
  heard = Date.now();
  if (data.watching !== undefined) {
    if (data.watching === watched?.id) watched.ready();
    return;
  }
  if (data.joined) {
    hello(this);
    return;
  }
  if (data.state !== undefined) listener.state(data.state);
  if (data.problem) listener.problem(new Problem(data.problem));
  if (data.missed) {
    watched?.missed();
    listener.list();
  }
  if (data.event) {
    const { migration, event } = data.event;
    if (migration === watched?.id) watched.event(data.event);
    if (event.ended || event.phase === "validating" || event.phase === "precopy") listener.list();
  }
  send({ ack: 1 });
}

const send = (what) => port?.postMessage(what);

// Registers this tab with a hub. It holds a lock for as long as it lives, which is how the hub learns that it is gone.
function hello(to) {
  const lock = `whimbrel tab ${crypto.randomUUID()}`;
  const say = () => {
    to.postMessage({ hello: { token: token(), lock } });
    if (watched) to.postMessage({ watch: watched.id });
  };
  if (!LOCKS) say();
  else LOCKS.request(lock, () => new Promise((done) => { release = done; say(); }));
}

function connect() {
  port?.postMessage({ bye: true });
  port?.close();
  release();
  heard = Date.now();
  if (!shared) {
    join();
    return;
  }
  const worker = new SharedWorker("/page/worker.js", { type: "module", name: NAME });
  worker.onerror = () => {
    shared = false;
    connect();
  };
  port = worker.port;
  port.onmessage = take;
  hello(port);
}

// Without shared workers: each tab has a channel of its own to the tab that leads.
let everyone = null;

function join() {
  const name = `${NAME} ${crypto.randomUUID()}`;
  port = new BroadcastChannel(name);
  port.onmessage = take;
  if (everyone !== null) {
    everyone.postMessage({ join: name });
    return;
  }
  everyone = new BroadcastChannel(NAME);
  everyone.onmessage = ({ data }) => data.leads && connect();
  everyone.postMessage({ join: name });
  const lead = () => {
    const hub = new Hub();
    const door = new BroadcastChannel(NAME);
    door.onmessage = ({ data }) => {
      if (!data.join) return;
      const to = new BroadcastChannel(data.join);
      hub.add(to);
      to.postMessage({ joined: true });
    };
    door.postMessage({ leads: true });
    return new Promise(() => {});
  };
  if (LOCKS) LOCKS.request(NAME, lead);
  else lead();
}

// A hub that is silent has died: there may be another.
function lookAfter() {
  if (Date.now() - heard < SILENT_MS) return;
  listener.state(false);
  connect();
}

addEventListener("pagehide", () => send({ bye: true }));
addEventListener("pageshow", (event) => event.persisted && location.reload());
