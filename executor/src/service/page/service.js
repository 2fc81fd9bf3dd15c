// Talks to the service. A token, where one is needed, stays in this window's session storage.

const KEY = "whimbrel-token";

export class Problem extends Error {
  constructor(document) {
    super(document.detail ?? document.title ?? document.reason ?? "the service does not answer");
    this.document = document;
  }
}

export function enter(token) {
  sessionStorage.setItem(KEY, token);
}

function headers(more) {
  const token = sessionStorage.getItem(KEY);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

export async function ask(path, { method = "GET", body, more = {}, signal } = {}) {
  const head = headers(body === undefined ? more : { ...more, "Content-Type": "application/json" });
  const response = await fetch(path, { method, headers: head, body: body === undefined ? undefined : JSON.stringify(body), signal });
  if (response.ok) return response;
  const document = await response.json().catch(() => ({ title: `${response.status} ${response.statusText}` }));
  throw new Problem({ ...document, status: response.status });
}

export const read = async (path, options) => (await ask(path, options)).json();

// Follows server-sent events. EventSource cannot send a token, so the few lines of the format are read here. After a
// break it goes on behind the last event that was seen, so nothing is missed and nothing comes twice.
export async function follow(path, signal, told, state = () => {}) {
  let last = null;
  let pause = 250;
  while (!signal.aborted) {
    try {
      const more = last === null ? {} : { "Last-Event-ID": last };
      const response = await ask(path, { more: { ...more, Accept: "text/event-stream" }, signal });
      if (response.status === 204) return;
      state(true);
      pause = 250;
      for await (const event of events(response.body)) {
        last = event.id ?? last;
        if (event.data) told(JSON.parse(event.data));
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.document.status < 500 && error.document.status !== 429) throw error;
    }
    state(false);
    await new Promise((done) => setTimeout(done, pause));
    pause = Math.min(pause * 2, 4000);
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const block of whole) yield parse(block);
  }
}

function parse(block) {
  const event = { data: "" };
  for (const line of block.split("\n")) {
    const [name, ...rest] = line.split(": ");
    if (name === "data") event.data += rest.join(": ");
    else if (name === "id") event.id = rest.join(": ");
  }
  return event;
}
