// One migration as it happens, or as it happened: drawn from its events, which are the same in both cases.

import { PHASES } from "./phases.js";
import { abort_command, bytes, duration, forecast, plain, rate, sentence, OWNERS } from "./words.js";
import { ask, command, read, Problem, Unanswered } from "./service.js";
import { watch } from "./events.js";

const $ = (id) => document.getElementById(id);
const GIB = 2 ** 30;
const MIB = 2 ** 20;
const POINTS_KEPT = 4000;
// Before the first sync.
const NO_SYNC = { regressions: 0, gains: 0, low_water_bytes: null, high_water_bytes: null };

let present = null;

export function close() {
  present?.stop.abort();
  present = null;
}

// Shows a migration. `ended` is called when its stream has ended.
export async function open(id, ended) {
  close();
  const stop = new AbortController();
  const live = { id, stop, sending: new Set(), answers: new Map() };
  present = live;
  const migration = await read(`/api/v1/migrations/${id}`, { signal: stop.signal });
  live.migration = migration;
  $("live").hidden = false;
  $("live-title").textContent = `Migration ${id}: ${migration.guest} from ${migration.source} to ${migration.destination}`;
  $("journal").href = `/api/v1/migrations/${id}/journal`;
  reset(live);
  $("answer").textContent = "";
  $("reacting").hidden = migration.state !== "running";
  $("doubt").hidden = true;
  $("live-title").focus();
  live.charts = charts();
  const redraw = () => {
    if (stop.signal.aborted) return;
    if (live.dirty) draw(live);
    live.dirty = false;
    if (!live.outcome) requestAnimationFrame(redraw);
  };
  requestAnimationFrame(redraw);
  const over = migration.state !== "running";
  try {
    await watch(id, stop.signal, { take: (told) => take(live, told), over, reset: () => reset(live) });
  } catch (problem) {
    if (!(problem instanceof Problem && problem.document.status === 404)) throw problem;
    $("reacting").hidden = true;
    $("standing").textContent = "The service has this migration no longer: its store was replaced. Look at both hosts.";
    live.dirty = false;
    return;
  }
  if (stop.signal.aborted) return;
  draw(live);
  ended?.();
}

// As it was before its first event.
function reset(live) {
  Object.assign(live, { points: [], rates: [], totals: NO_SYNC, phase: null, seen: {}, owner: "source", now: null, numbers: undefined, outcome: null, forecast: null, dirty: false });
  for (const place of ["story", "syncs", "findings", "standing"]) $(place).replaceChildren();
}

function take(live, { at_ns, event }) {
  const at = at_ns / 1e9;
  const [[kind, what]] = Object.entries(event);
  live.dirty = true;
  live.now = at;
  if (kind === "progress") look(live, at, what);
  if (kind === "sync") sync(live, at, what);
  if (kind === "phase") phase(live, what);
  if (kind === "forecast") expect(live, at, what);
  if (kind === "judged") findings(what.findings);
  if (kind === "seen") live.seen[what[0]] = what[1];
  if (kind === "ended") end(live, what);
  const words = sentence(event);
  if (words) tell(at, words);
}

// What was not measured stays so.
const product = (count, factor) => (count === null || count === undefined ? null : count * factor);

function look(live, at, numbers) {
  // Before the copy begins every count is 0, which does not mean that nothing is left.
  if (!numbers.memory_total_bytes) return;
  live.numbers = numbers;
  live.points.push({ at, memory: numbers.memory_remaining_bytes, disk: numbers.disk_remaining_bytes });
  live.rates.push({ at, dirty: product(numbers.dirty_rate_pages_per_second, numbers.page_size_bytes), bandwidth: numbers.bandwidth_bytes_per_second });
  if (live.points.length > POINTS_KEPT) live.points.shift();
  if (live.rates.length > POINTS_KEPT) live.rates.shift();
}

function sync(live, at, what) {
  live.totals = what.totals ?? earlier(live.migration);
  live.points.push({ at, memory: what.memory_remaining_bytes, disk: what.disk_remaining_bytes, rise: what.rise_bytes > 0, gain: what.above_previous });
  const row = $("syncs").insertRow();
  for (const text of [what.iteration, duration(Math.round(at * 1000)), bytes(what.memory_remaining_bytes), bytes(what.disk_remaining_bytes),
    bytes(what.rise_bytes), rate(what.dirty_rate_bytes_per_second), rate(what.bandwidth_bytes_per_second)]) row.insertCell().textContent = text;
}

// Events that an earlier release stored have no totals: those of its document, or nothing where it has none of them either.
const earlier = ({ account }) => (account?.syncs_seen > 0 ? account : null);

function phase(live, name) {
  live.phase = name;
  live.owner = PHASES[name]?.owner ?? live.owner;
  // A copy that has ended has no forecast.
  if (name !== "precopy") live.forecast = null;
}

// A verdict that has become another one is part of what happened.
function expect(live, at, what) {
  if (live.forecast?.verdict.kind !== what.verdict.kind) tell(at, `forecast: ${what.why}: ${what.conclusion}`);
  live.forecast = what;
}

function findings(list) {
  const items = list.map((finding) => {
    const item = document.createElement("li");
    item.textContent = `${finding.severity}: ${finding.message}. ${finding.remediation}. (${finding.code})`;
    return item;
  });
  const place = document.createElement("ul");
  place.append(...items);
  $("findings").replaceChildren(...(items.length === 0 ? [] : [place]));
}

function end(live, outcome) {
  live.outcome = outcome;
  const side = outcome.guest.startsWith("destination_") ? "destination" : "source";
  const sure = /^(untouched|source_|destination_(running|paused|off))/.test(outcome.guest);
  live.owner = sure ? side : "see_outcome";
  $("reacting").hidden = true;
  // That something was not sent matters as long as it could be sent again.
  for (const [what, { failed }] of live.answers) if (failed && !live.sending.has(what)) answers(live, what, "");
  $("doubt").hidden = outcome.ending !== "in_doubt";
  ask(`/api/v1/migrations/${live.id}`).then((answer) => answer.json()).then((migration) => {
    if (present === live && migration.description) $("standing").textContent = migration.description;
  });
}

function tell(at, words) {
  const item = document.createElement("li");
  item.textContent = `${duration(Math.round(at * 1000))}: ${words}`;
  const story = $("story");
  story.append(item);
  while (story.children.length > 500) story.firstChild.remove();
  story.scrollTop = story.scrollHeight;
}

// What it stands at; the worst that can be seen is said first.
function standing({ phase, seen }) {
  const words = PHASES[phase]?.description ?? "";
  return seen.source === "running" && seen.destination === "running" ? `TWO COPIES RUN: end neither before you have read what to do; ${words}` : words;
}

function draw(live) {
  const { numbers, points, rates, totals } = live;
  const { low_water_bytes: low, high_water_bytes: high } = totals ?? NO_SYNC;
  if (!live.outcome) {
    $("standing").textContent = standing(live);
    $("doubt").hidden = live.phase !== "resolving";
  }
  const is_copied = live.phase === "precopy" && !live.outcome;
  const [ends, why] = is_copied ? forecast(live.forecast, live.now * 1000) : ["", ""];
  for (const [place, text] of [["forecast", ends], ["forecast-why", why]]) {
    $(place).hidden = text === "";
    $(place).textContent = text;
  }
  const figures = [
    ["Guest owned by", OWNERS[live.owner] ?? live.owner],
    ...["source", "destination"].filter((side) => live.seen[side]).map((side) => [`Seen on the ${side}`, plain(live.seen[side])]),
    ["Memory left", bytes(numbers?.memory_remaining_bytes)],
    ["Disk left", bytes(numbers?.disk_remaining_bytes)],
    ["Iteration", numbers?.iteration ?? "none yet"],
    ["Regressions", totals ? `${totals.regressions}, of which ${totals.gains} above the previous sync` : "not known"],
    ["Low and high water", low === null ? (totals ? "none yet" : "not known") : `${bytes(low)}, ${bytes(high)}`],
    ["Dirty rate", rate(rates.at(-1)?.dirty)],
    ["Bandwidth", rate(rates.at(-1)?.bandwidth)],
    ["Expected downtime", duration(numbers?.downtime_ms)],
    ["Guest slowed by", `${numbers?.throttle_percent ?? 0} %`],
  ];
  $("figures").replaceChildren(...figures.map(([name, text]) => {
    const pair = document.createElement("div");
    const term = document.createElement("dt");
    const words = document.createElement("dd");
    term.textContent = name;
    words.textContent = text;
    pair.append(term, words);
    return pair;
  }));
  const at = points.map((point) => point.at);
  const only = (wanted) => points.map((point) => (wanted(point) ? point.memory / GIB : null));
  const mark = (level) => at.map(() => (level === null ? null : level / GIB));
  live.charts.remaining.setData([at, points.map((point) => point.memory / GIB), points.map((point) => point.disk / GIB),
    only((point) => point.rise && !point.gain), only((point) => point.gain), mark(low), mark(high)]);
  live.charts.rates.setData([rates.map((one) => one.at), rates.map((one) => product(one.dirty, 1 / MIB)), rates.map((one) => product(one.bandwidth, 1 / MIB))]);
  $("remaining-words").textContent = `${bytes(numbers?.memory_remaining_bytes)} of memory left after ${numbers?.iteration ?? 0} syncs, with ${totals?.regressions ?? "an unknown number of"} regressions.`;
  $("rates-words").textContent = `Dirty rate: ${rate(rates.at(-1)?.dirty)}; bandwidth: ${rate(rates.at(-1)?.bandwidth)}.`;
}

function charts() {
  const style = getComputedStyle(document.documentElement);
  const probe = (name) => {
    const span = document.createElement("span");
    span.style.color = `var(${name})`;
    document.body.append(span);
    const colour = getComputedStyle(span).color;
    span.remove();
    return colour;
  };
  const [ink, accent, alarm, soft, line] = ["--soft", "--accent", "--alarm", "--soft", "--line"].map(probe);
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
  const make = (place, series, unit) => {
    $(place).replaceChildren();
    const width = Math.max(260, $(place).clientWidth);
    return new uPlot({ width, height: 240, series: [{ label: "s" }, ...series], scales: { x: { time: false } }, cursor: { drag: { x: false, y: false } },
      axes: [{ ...axis, label: "s since the beginning", labelSize: 18, size: 36 }, { ...axis, label: unit, labelSize: 18, size: 52 }] }, [[]], $(place));
  };
  const dots = (label, stroke, fill) => ({ label, stroke, paths: () => null, points: { show: true, size: 9, stroke, fill } });
  const remaining = make("remaining", [
    { label: "memory", stroke: accent, width: 2, points: { show: false } },
    { label: "disk", stroke: soft, width: 1, dash: [2, 3], points: { show: false } },
    dots("regression", alarm, style.getPropertyValue("color-scheme") ? "transparent" : alarm),
    dots("above the previous sync", alarm, alarm),
    { label: "low water", stroke: soft, width: 1, dash: [8, 4], points: { show: false } },
    { label: "high water", stroke: alarm, width: 1, dash: [8, 4], points: { show: false } },
  ], "GiB left");
  const rates = make("rates", [
    { label: "dirty rate", stroke: alarm, width: 2, points: { show: false } },
    { label: "bandwidth", stroke: accent, width: 2, points: { show: false } },
  ], "MiB/s");
  return { remaining, rates };
}

// The charts are drawn in the colours of the moment.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (!present?.charts) return;
  Object.values(present.charts).forEach((chart) => chart.destroy());
  present.charts = charts();
  draw(present);
});

addEventListener("resize", () => {
  if (!present?.charts) return;
  for (const place of ["remaining", "rates"]) {
    present.charts[place].setSize({ width: Math.max(260, $(place).clientWidth), height: 240 });
  }
});

// What is said of commands, one line of each kind. It belongs to the migration that they were for.
function answers(live, what, text, failed = false) {
  live.answers.set(what, { text, failed });
  if (present !== live) return;
  const said = [...live.answers.values()];
  $("answer").className = said.some((one) => one.failed) ? "error" : "";
  $("answer").textContent = said.map((one) => one.text).join("\n");
}

// Sends a command, one of each kind at a time, and says at every moment whether it was sent.
async function order(what, body, { told, without }) {
  const live = present;
  if (!live || live.sending.has(what)) return;
  for (const kind of live.answers.keys()) if (!live.sending.has(kind)) live.answers.delete(kind);
  live.sending.add(what);
  const says = (text, failed) => answers(live, what, text, failed);
  says("Sending …");
  const late = () => says(`Not sent yet, or not answered: no answer from the service for 3 s. The migration goes on. It is still being tried. ${without(live)}`, true);
  try {
    says(told(await command(`/api/v1/migrations/${live.id}/${what}`, { body, late })));
  } catch (problem) {
    if (problem instanceof Unanswered) {
      says(`Not sent: the service does not answer. The migration goes on. If the connection broke after the request had left, the service may have received it: what it did then shows here when it answers again. ${without(live)}`, true);
    } else if (problem instanceof Problem && problem.document.description) {
      says(told(problem.document), true);
    } else says(problem.message, true);
  } finally {
    live.sending.delete(what);
  }
}

function react(wanted) {
  const told = ({ result, description }) => (result === "done" || result === "not_known" ? `The reaction: ${description}.` : `The reaction was not carried out: ${description}.`);
  return order("reactions", wanted, { told, without: () => "Send it again when the service answers." });
}

function cancel() {
  const told = ({ description, recovery }) => {
    const done = recovery.map((what) => `\n• ${what}`).join("");
    return `The cancel: ${description}.${done ? `\nPut right:${done}` : "\nNothing had to be put right."}`;
  };
  const without = ({ migration }) => `To cancel without the service, on any machine that reaches the source:\n${abort_command(migration)}`;
  return order("cancel", undefined, { told, without });
}

$("downtime-form").addEventListener("submit", (event) => {
  event.preventDefault();
  react({ downtime_limit: { ms: Number($("downtime").value) } });
});
$("bandwidth-form").addEventListener("submit", (event) => {
  event.preventDefault();
  react({ bandwidth_limit: { bytes_per_second: Number($("bandwidth").value) * MIB } });
});
$("pause").addEventListener("click", () => react({ pause: {} }));
$("postcopy").addEventListener("click", () => react({ postcopy: {} }));
$("cancel").addEventListener("click", cancel);
$("journal").addEventListener("click", async (event) => {
  // A link sends no token, so the journal is fetched and then saved.
  event.preventDefault();
  const text = await (await ask(event.currentTarget.getAttribute("href"))).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(text);
  link.download = `migration-${present.id}.journal`;
  link.click();
  URL.revokeObjectURL(link.href);
});
