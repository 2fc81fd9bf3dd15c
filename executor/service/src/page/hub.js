// Shares one stream of events among the tabs of a browser: a browser keeps six connections to a service, and a stream for
// each tab would leave none for a cancel. Each tab is a port here. What waits for a tab is bounded: one that does not
// keep up is notified that it missed events, and reads them from the service's history.

import { follow } from "./stream.js";

// A page and its hub must be of one build: hubs of other builds have other names.
export const NAME = "whimbrel events 2";
const MOST_WAITING = 256;
// Streams for different tokens. With two, connections are left for everything else.
const MOST_STREAMS = 2;
const ALIVE_MS = 5000;

export class Hub {
  constructor() {
    this.streams = new Map();
    this.tabs = new Set();
    setInterval(() => this.tabs.forEach((tab) => tab.waiting < MOST_WAITING && send(tab, { alive: true })), ALIVE_MS);
  }

  // A port speaks: `hello` with a token and the name of a lock that its tab holds while it lives, `watch`, `ack`, `bye`.
  add(port) {
    const tab = { port, stream: null, watch: null, waiting: 0, missed: false };
    this.tabs.add(tab);
    port.onmessage = ({ data }) => {
      if (data.hello) this.hello(tab, data.hello);
      if (data.watch !== undefined) {
        tab.watch = data.watch;
        // From here on its events are passed on; what was before is in the history.
        port.postMessage({ watching: data.watch });
      }
      if (data.ack) this.ack(tab, data.ack);
      if (data.bye) this.remove(tab);
    };
    port.start?.();
  }

  hello(tab, { token, lock }) {
    this.leave(tab);
    globalThis.navigator.locks?.request(lock, () => this.remove(tab));
    const stream = this.streams.get(token) ?? this.open(token);
    if (!stream) {
      send(tab, { problem: { title: "tabs with two other tokens are open in this browser: close them, and load this one again", status: 0 } });
      return;
    }
    tab.stream = stream;
    stream.tabs.add(tab);
    send(tab, { state: stream.connected });
    // What came before it joined went to the other tabs only.
    if (stream.connected) send(tab, { missed: true });
  }

  open(token) {
    if (this.streams.size >= MOST_STREAMS) return null;
    const stream = { token, tabs: new Set(), stop: new AbortController(), connected: false };
    this.streams.set(token, stream);
    const all = (what) => stream.tabs.forEach((tab) => send(tab, what));
    const on = {
      event: (event) => stream.tabs.forEach((tab) => isFor(tab, event) && send(tab, { event })),
      connected: (fresh) => {
        stream.connected = true;
        all({ state: true });
        if (fresh) all({ missed: true });
      },
      lost: () => {
        if (stream.connected) all({ state: false });
        stream.connected = false;
      },
    };
    follow(token, stream.stop.signal, on).then((problem) => {
      this.streams.delete(token);
      if (problem) all({ problem });
    });
    return stream;
  }

  ack(tab, count) {
    tab.waiting -= count;
    if (tab.missed && tab.waiting === 0) {
      tab.missed = false;
      send(tab, { missed: true });
    }
  }

  leave(tab) {
    const { stream } = tab;
    tab.stream = null;
    stream?.tabs.delete(tab);
    if (stream?.tabs.size === 0) {
      stream.stop.abort();
      this.streams.delete(stream.token);
    }
  }

  remove(tab) {
    this.leave(tab);
    this.tabs.delete(tab);
    tab.port.close();
  }
}

// Every tab lists migrations as they begin and end; one of them it may draw.
function isFor(tab, { migration, event }) {
  return tab.watch === migration || event.ended !== undefined || event.phase === "validating" || event.phase === "precopy";
}

function send(tab, what) {
  if (tab.waiting >= MOST_WAITING) {
    tab.missed = true;
    return;
  }
  tab.waiting += 1;
  tab.port.postMessage(what);
}
