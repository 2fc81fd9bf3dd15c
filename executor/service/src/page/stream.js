// Reads the service's events of all migrations, for as long as it is wanted. Runs in a shared worker, or in the one tab
// that stands for it: it must not touch a page.

const SILENT_MS = 25_000;
const MOST_TEXT = 4 * 2 ** 20;

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

// Follows the events until `signal`. EventSource cannot send a token, so the few lines of the format are read here. After a
// break it goes on after the last event that was seen. `on` has `event`, `connected` (its argument: whether events may be missing
// before the next one) and `lost`; it returns the problem that makes it pointless to try again.
export async function follow(token, signal, on) {
  let last = null;
  let pause = 250;
  while (!signal.aborted) {
    const stop = new AbortController();
    const both = AbortSignal.any([signal, stop.signal]);
    let silent = setTimeout(() => stop.abort(), SILENT_MS);
    try {
      const headers = { Accept: "text/event-stream" };
      if (token) headers.Authorization = `Bearer ${token}`;
      if (last !== null) headers["Last-Event-ID"] = last;
      const response = await fetch("/api/v1/events", { headers, signal: both, cache: "no-store" });
      if (response.ok) {
        on.connected(last === null);
        pause = 250;
        for await (const block of blocks(response.body)) {
          clearTimeout(silent);
          silent = setTimeout(() => stop.abort(), SILENT_MS);
          const { id, data } = parse(block);
          if (!data) continue;
          last = id ?? last;
          on.event({ id: last, ...JSON.parse(data) });
        }
      } else if (response.status === 409) {
        // Another store: what was seen before means nothing in it.
        last = null;
      } else if (response.status < 500 && response.status !== 429) {
        return { ...(await response.json().catch(() => ({}))), status: response.status };
      }
    } catch {
      if (signal.aborted) return null;
    } finally {
      clearTimeout(silent);
      stop.abort();
    }
    on.lost();
    await wait(pause);
    pause = Math.min(pause * 2, 4000);
  }
  return null;
}

async function* blocks(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const whole = text.split("\n\n");
    text = whole.pop();
    if (text.length > MOST_TEXT) throw new Error("an event without an end");
    yield* whole;
  }
}

function parse(block) {
  const event = { data: "", id: null };
  for (const line of block.split("\n")) {
    const [name, ...rest] = line.split(": ");
    if (name === "data") event.data += rest.join(": ");
    else if (name === "id") event.id = rest.join(": ");
  }
  return event;
}
