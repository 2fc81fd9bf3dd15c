// Numbers and states in words. Nothing here looks at the page. The words of the phases are the program's: it makes phases.js.

import { PHASES } from "./phases.js";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

const UNMEASURED = "not measured yet";

export function bytes(count, missing = UNMEASURED) {
  if (count === null || count === undefined) return missing;
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(unit === 0 ? 0 : 1)} ${UNITS[unit]}`;
}

export const rate = (count) => (count === null || count === undefined ? UNMEASURED : `${bytes(count)}/s`);

export function duration(ms) {
  if (ms === null || ms === undefined) return UNMEASURED;
  if (ms < 1000) return `${ms} ms`;
  if (ms < 120_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

const seconds = (ms) => Math.max(1, Math.ceil(ms / 1000));

// A time that is only expected: no more exact than it is known.
const about = (ms) => (ms < 120_000 ? `${seconds(ms)} s` : `${Math.floor(seconds(ms) / 60)} min ${seconds(ms) % 60} s`);

const between = (low, high) => (high < 120_000 ? `${seconds(low)} to ${seconds(high)} s` : `${about(low)} to ${about(high)}`);

const percent = (ppm) => (ppm === 0 ? "less than 3 %" : ppm >= 1_000_000 ? "more than 97 %" : `${Math.round(ppm / 10_000)} %`);

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

// A forecast in two lines as of `now`, in ms since the migration began: whether and when it ends, and why. Times in a forecast count
// from the instant at which it was made.
export function forecast(what, now) {
  if (!what) return ["Forecast after the first pass.", ""];
  const age = Math.max(0, now - what.at / 1e6);
  const made = age < 2000 ? "" : ` (${seconds(age)} s ago)`;
  const why = `${what.why}: ${what.conclusion}${made}`;
  const left = what.as_is?.left_ms;
  const says_when = left && ["converges", "open"].includes(what.verdict.kind) && what.as_is.chance_ppm >= 500_000;
  if (!says_when) return [`${capital(what.conclusion)}${made}.`, why];
  if (age > left.p90) return ["Takes longer than it was forecast.", why];
  const [low, middle, high] = [left.p10, left.p50, left.p90].map((ms) => Math.max(0, ms - age));
  return [`Ends in about ${about(middle)} (${between(low, high)}), with a chance of ${percent(what.as_is.chance_ppm)}.`, why];
}

export const OWNERS = {
  source: "the source",
  destination: "the destination",
  handing_over: "being handed over",
  being_found_out: "being found out",
  see_outcome: "could not be made sure",
};

export const RUNS = { running: "running", paused: "paused", not_running: "off" };

export const STATES = {
  running: "running",
  completed: "completed",
  cancelled: "cancelled",
  failed: "failed",
  in_doubt: "in doubt: look at both hosts",
  arrived_stopped: "arrived, but not running",
};

const RECOVERIES = {
  downtime_limit_restored: "the downtime limit was put back",
  bandwidth_limit_restored: "the bandwidth limit was put back",
  disks_removed: "the disks made on the destination were removed",
  postcopy_resumed: "post-copy was resumed",
};

export function recovery(what) {
  if (typeof what === "string") return RECOVERIES[what] ?? what;
  const [[name, side]] = Object.entries(what);
  if (name === "resumed") return `the guest was resumed on the ${side}`;
  if (name === "destroyed") return `the copy left on the ${side} was removed`;
  if (name === "undefined") return `the definition left on the ${side} was dropped`;
  return `${name} on the ${side}`;
}

export const plain = (word) => String(word).replaceAll("_", " ");

// An event in a sentence; nothing for those that are drawn instead.
export function sentence(event) {
  const [[kind, what]] = Object.entries(event);
  switch (kind) {
    case "phase": return PHASES[what]?.description ?? plain(what);
    case "judged": return what.findings.length === 0 ? "no rule stands against it" : `${what.findings.length} findings`;
    case "sync":
      if (what.above_previous) return `sync ${what.iteration}: ${bytes(what.memory_remaining_bytes)} left, more than at the previous sync`;
      return null;
    case "seen": return `seen on the ${what[0]}: ${plain(what[1])}`;
    case "cancel_answered": return `cancel: ${plain(what)}`;
    case "reacted": return `reaction, ${plain(what[0])}: ${plain(what[1])}`;
    case "recovered": return recovery(what);
    case "ended": return `${plain(what.ending)}; the guest: ${plain(what.guest)}`;
    default: return null;
  }
}

// A text as one word of a shell.
const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;

// What ends a migration where the service cannot: libvirt at its source.
export const abort_command = ({ guest, source }) => `virsh -c ${quoted(source)} domjobabort --domain ${quoted(guest)}`;
