// Talks to the service. A token, where one is needed, stays in this window's session storage.

const KEY = "whimbrel-token";
const LATE_MS = 3000;
// Longer than the service waits for the hosts.
const GIVE_UP_MS = 60_000;

export class Problem extends Error {
  constructor(document) {
    super(document.detail ?? document.title ?? document.reason ?? "the service does not answer");
    this.document = document;
  }
}

// No answer came: whether the request was received is then not known, only that nothing says so.
export class Unanswered extends Error {
  constructor() {
    super("The service does not answer. Migrations go on at the hosts.");
  }
}

export function enter(text) {
  sessionStorage.setItem(KEY, text);
}

export const token = () => sessionStorage.getItem(KEY) ?? "";

function headers(more) {
  return token() ? { ...more, Authorization: `Bearer ${token()}` } : more;
}

// `sent` is called when the head of the answer is there: from then on it is known that the request was received.
export async function ask(path, { method = "GET", body, more = {}, signal, priority, sent = () => {} } = {}) {
  const head = headers(body === undefined ? more : { ...more, "Content-Type": "application/json" });
  const text = body === undefined ? undefined : JSON.stringify(body);
  const response = await fetch(path, { method, headers: head, body: text, signal, priority }).catch((error) => {
    if (signal?.aborted && error === signal.reason) throw error;
    throw new Unanswered();
  });
  sent();
  if (response.ok) return response;
  const document = await response.json().catch(() => ({ title: `${response.status} ${response.statusText}` }));
  throw new Problem({ ...document, status: response.status });
}

export const read = async (path, options) => (await ask(path, options)).json();


// Sends what changes something. `late` is called when no answer has come for 3 s: it may still wait for a connection.
export async function command(path, { body, more, late }) {
  const stop = new AbortController();
  const timers = [setTimeout(late, LATE_MS), setTimeout(() => stop.abort(new Unanswered()), GIVE_UP_MS)];
  const done = () => timers.forEach(clearTimeout);
  try {
    return await read(path, { method: "POST", body, more, signal: stop.signal, priority: "high", sent: done });
  } finally {
    done();
  }
}

// Questions of all tabs that may take long are asked one after the other: together they would take every connection that
// the browser has for this service.
export const alone = (name, run) => (globalThis.navigator.locks ? globalThis.navigator.locks.request(`whimbrel ${name}`, run) : run());
