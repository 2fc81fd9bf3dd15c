// The page: guests, hosts, history, and the window for a migration. What a migration looks like stands in live.js.

import { bytes, RUNS, STATES } from "./words.js";
import { alone, command, enter, Problem, read, Unanswered } from "./service.js";
import { listen } from "./events.js";
import * as live from "./live.js";

const $ = (id) => document.getElementById(id);
let wanted = null;
let key = null;

function cell(row, content) {
  const place = row.insertCell();
  place.append(content);
}

function button(text, label, act) {
  const element = document.createElement("button");
  element.textContent = text;
  element.setAttribute("aria-label", label);
  element.addEventListener("click", act);
  return element;
}

// Puts rows into a table, and the focus back on the button that had it.
function fill(id, rows) {
  const place = $(id);
  const focused = place.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  place.replaceChildren();
  rows.forEach((build) => build(place.insertRow()));
  if (focused) place.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
}

const refresh = () => alone("refresh", refreshNow);

async function refreshNow() {
  const history = await read("/api/v1/migrations");
  const [guests, hosts] = await Promise.all(["guests", "hosts"].map((what) => read(`/api/v1/${what}`)));
  $("entry").hidden = true;
  // Guests of one name are told apart by their hosts.
  const told = (guest) => (guests.guests.filter((one) => one.name === guest.name).length > 1 ? `${guest.name} on ${guest.host}` : guest.name);
  fill("guests", guests.guests.map((guest) => (row) => {
    cell(row, guest.name);
    cell(row, guest.host);
    cell(row, guest.also_runs_on.length ? twice(guest) : guest.migration ? "being migrated" : RUNS[guest.run] ?? guest.run);
    cell(row, bytes(guest.memory_bytes));
    if (guest.migration) cell(row, button("Watch", `Watch the migration of ${told(guest)}`, () => watch(guest.migration)));
    else cell(row, button("Migrate …", `Migrate ${told(guest)}`, () => offer(guest, hosts.hosts)));
  }));
  $("unreachable").textContent = guests.unreachable.length ? `Not answering, so their guests are missing here: ${guests.unreachable.join(", ")}` : "";
  $("hosts").replaceChildren(...hosts.hosts.map(host));
  fill("history", history.migrations.map((migration) => (row) => {
    cell(row, migration.id);
    cell(row, migration.guest);
    cell(row, `${migration.source} to ${migration.destination}`);
    cell(row, migration.ended_at_ms ? new Date(migration.ended_at_ms).toLocaleString() : "not yet");
    cell(row, STATES[migration.state] ?? migration.state);
    cell(row, button("Look", `Look at migration ${migration.id}`, () => watch(migration.id)));
  }));
}

// Two copies of one guest spoil the disks that they share: it is said in the list, with what to do.
function twice(guest) {
  const words = document.createElement("span");
  words.className = "error";
  words.append(`RUNNING TWICE: also on ${guest.also_runs_on.join(", ")}. `);
  const help = document.createElement("a");
  help.href = "/page/in-doubt.md";
  help.target = "_blank";
  help.rel = "noopener";
  help.textContent = `What to do about ${guest.name}`;
  words.append(help);
  return words;
}

function host(entry) {
  const item = document.createElement("li");
  const name = document.createElement("strong");
  name.textContent = entry.uri;
  const words = document.createElement("div");
  words.className = "soft";
  words.textContent = entry.reachable
    ? `${entry.hypervisor} ${entry.hypervisor_version}, libvirt ${entry.library_version}, ${bytes(entry.free_memory_bytes, "an unknown amount")} of memory free`
    : `does not answer: ${entry.reason}`;
  item.append(name, words);
  return item;
}

function watch(id) {
  live.open(id, refreshSoon).catch(report);
}

function offer(guest, hosts) {
  wanted = guest;
  key = crypto.randomUUID();
  $("migrate-title").textContent = `Migrate ${guest.name}`;
  $("known-hosts").replaceChildren(...hosts.filter((one) => one.uri !== guest.host).map((one) => new Option(one.uri)));
  $("destination").value = hosts.find((one) => one.uri !== guest.host)?.uri ?? "";
  $("password").value = "";
  // The tunnel that a password opens is on the service's machine, and the source's daemon must find it.
  const here = guest.host.startsWith("sim://") || /^[^:]+:\/\/\//.test(guest.host);
  $("password").disabled = !here;
  $("password-hint").textContent = here ? "" : `A password works for guests of the service's own machine only, and this one is on ${guest.host}: keys between the hosts, or a service there.`;
  $("preflight").replaceChildren();
  $("migrate").showModal();
  $("destination").focus();
}

const number = (id) => ($(id).value === "" ? undefined : Number($(id).value));
// A list whose entries stand between commas; nothing for none.
const listed = (id) => {
  const entries = $(id).value.split(",").map((entry) => entry.trim());
  const found = entries.filter((entry) => entry !== "");
  return found.length === 0 ? undefined : found;
};
const ms = (id) => ($(id).value === "" ? undefined : Number($(id).value) * 1000);

function order() {
  const mib = number("limit-bandwidth");
  return {
    guest: wanted.name,
    source: wanted.host,
    destination: $("destination").value.trim(),
    downtime_limit_ms: number("limit-downtime"),
    bandwidth_limit_bytes_per_second: mib === undefined ? undefined : mib * 2 ** 20,
    timeout_ms: ms("limit-timeout"),
    at_timeout: $("at-timeout").value,
    postcopy: $("way-postcopy").checked,
    auto_converge: $("way-converge").checked,
    xbzrle: $("way-xbzrle").checked,
    copy_disks: $("way-disks").checked && (listed("copied-disks") ?? true),
    overwrite_disks: $("way-disks").checked ? listed("overwrite-disks") : undefined,
    parallel_connections: number("way-parallel"),
    migrate_uri: $("migrate-uri").value.trim() || undefined,
    doubt_patience_ms: ms("doubt-patience"),
    recovery_patience_ms: ms("recovery-patience"),
    offline: wanted.run === "not_running",
  };
}

// The order with the password, which the service uses once for each question and keeps nowhere.
const trusted = () => ({ ...order(), password: $("password").value === "" ? undefined : $("password").value });

function says(element, text, className = "") {
  const line = document.createElement("p");
  line.className = className;
  line.textContent = text;
  element.append(line);
}

// Findings that need no action: there for whoever opens them.
function folded(title, findings) {
  const whole = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = title;
  const list = document.createElement("ul");
  list.append(...findings.map((one) => {
    const item = document.createElement("li");
    item.textContent = `${one.code}: ${one.message}`;
    return item;
  }));
  whole.append(summary, list);
  return whole;
}

async function check() {
  const place = $("preflight");
  place.replaceChildren();
  says(place, "The hosts are asked …", "soft");
  try {
    const found = await alone("check", () => read("/api/v1/preflight", { method: "POST", body: trusted() }));
    place.replaceChildren();
    says(place, found.allowed ? "Nothing stands against it." : "It would be refused:", found.allowed ? "" : "error");
    const with_verdict = (verdict) => found.findings.filter((one) => one.verdict === verdict && one.waived === undefined);
    for (const one of [...with_verdict("fail"), ...with_verdict("warn")]) {
      says(place, `${one.verdict}: ${one.message}. ${one.remediation}. (${one.code})`, one.verdict === "fail" ? "error" : "");
    }
    const unknown = with_verdict("unknown");
    if (unknown.length > 0) place.append(folded(`${unknown.length} could not be told`, unknown));
    const waived = found.findings.filter((one) => one.waived !== undefined);
    if (waived.length > 0) place.append(folded(`${waived.length} were waived`, waived));
    place.append(folded(`${with_verdict("pass").length} checks passed`, with_verdict("pass")));
    return found.allowed;
  } catch (problem) {
    place.replaceChildren();
    says(place, problem.message, "error");
    return false;
  }
}

async function begin() {
  if (!$("migrate-form").reportValidity() || !(await check())) return;
  try {
    // The same key with the same order begins one migration, however often it is sent.
    const body = trusted();
    const late = () => says($("preflight"), "Not sent yet, or not answered: no answer from the service for 3 s. It is still being tried.", "error");
    const { id } = await command("/api/v1/migrations", { body, more: { "Idempotency-Key": key }, late });
    $("migrate").close();
    refreshSoon();
    watch(id);
  } catch (problem) {
    const lost = "Not sent: the service does not answer. Press Migrate again when it does: if it received the request after all, that begins no second migration.";
    says($("preflight"), problem instanceof Unanswered ? lost : problem.message, "error");
  } finally {
    $("password").value = "";
  }
}

const RETRY_MS = 4000;
let soon = null;
let stale = false;
function refreshSoon() {
  // A tab that is not seen leaves the connections to those that are.
  stale = document.hidden;
  if (stale) return;
  soon ??= setTimeout(() => {
    soon = null;
    // That the service is gone is said already, by the stream.
    refresh().catch((problem) => (problem instanceof Unanswered ? setTimeout(refreshSoon, RETRY_MS) : report(problem)));
  }, 200);
}

function report(problem) {
  if (problem instanceof Problem && problem.document.status === 401) {
    $("entry").hidden = false;
    $("token").focus();
  }
  $("connection").textContent = problem.message;
}

async function start() {
  try {
    await refresh();
    const state = (connected) => { $("connection").textContent = connected ? "connected" : "the connection is lost; trying again …"; };
    listen({ list: refreshSoon, state, problem: report });
  } catch (problem) {
    report(problem);
  }
}

document.addEventListener("visibilitychange", () => stale && refreshSoon());
$("check").addEventListener("click", check);
$("close").addEventListener("click", () => $("migrate").close());
$("migrate-form").addEventListener("submit", (event) => {
  event.preventDefault();
  begin();
});
$("entry-form").addEventListener("submit", (event) => {
  event.preventDefault();
  enter($("token").value);
  $("token").value = "";
  start();
});
start();
