// Many tabs of one browser: however many watch, a pressed button sends its request, and the page reports a request that was not
// sent. A proxy between the browser and the service counts the streams of events.
//
//   WHIMBREL_BIN=target/debug/whimbrel node tabs.mjs

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, request } from "node:http";
import { pipeline } from "node:stream";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open, step } from "./browser.mjs";

const TABS = 7;
const MOST_MS_UNTIL_SENT = 2000;
const folder = mkdtempSync(join(tmpdir(), "whimbrel-tabs-"));
const program = process.env.WHIMBREL_BIN;
assert.ok(program, "WHIMBREL_BIN names the program");

async function serve(listen, store) {
  const service = spawn(program, ["serve", "--listen", listen, "--store", join(folder, store), "--rate", "10000"]);
  const address = await new Promise((ready, failed) => {
    let said = "";
    service.stderr.on("data", (text) => {
      said += text;
      const address = said.match(/listening at (\S+?)\/?;/)?.[1];
      if (address) ready(address);
    });
    service.on("exit", (code) => failed(new Error(`the service ended with ${code}: ${said}`)));
  });
  service.removeAllListeners("exit");
  const gone = new Promise((done) => service.on("exit", done));
  return { service, address, gone };
}

// A proxy that records how many streams of events are open, and when a cancel passed.
async function between(address) {
  const known = { streams: 0, most: 0, sent: new Map(), address: "" };
  const proxy = createServer((from, to) => {
    const upstream = request(address + from.url, { method: from.method, headers: from.headers }, (answer) => {
      to.writeHead(answer.statusCode, answer.headers);
      pipeline(answer, to, () => {});
      if (!/event-stream/.test(answer.headers["content-type"] ?? "")) return;
      known.streams += 1;
      known.most = Math.max(known.most, known.streams);
      to.on("close", () => { known.streams -= 1; });
    });
    if (from.method === "POST") known.sent.set(from.url, Date.now());
    upstream.on("error", () => to.destroy());
    to.on("close", () => upstream.destroy());
    from.pipe(upstream);
  });
  await new Promise((ready) => proxy.listen(0, "127.0.0.1", ready));
  known.address = `http://127.0.0.1:${proxy.address().port}`;
  known.close = () => { proxy.close(); proxy.closeAllConnections(); };
  return known;
}

async function post(address, path, body) {
  const answer = await fetch(address + path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  return answer.json();
}
const get = async (address, path) => (await fetch(address + path)).json();

// Slow enough to be cancelled at any time.
const begin = async (address, guest) => (await post(address, "/api/v1/migrations", { guest, source: "sim://alpha", destination: "sim://beta", bandwidth_limit_bytes_per_second: 4 * 2 ** 20 })).id;

async function until(what, holds, ms = 20_000) {
  const began = Date.now();
  while (!(await holds())) {
    assert.ok(Date.now() - began < ms, `not within ${ms} ms: ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
  return Date.now() - began;
}

// Opens a migration in a tab. Its list may still show the previous one.
async function look(page, id, guest) {
  await until(`migration ${id} is shown`, async () => {
    await page.getByRole("button", { name: `Watch the migration of ${guest}` }).click();
    await page.waitForTimeout(100);
    return page.getByRole("heading", { name: `Migration ${id}: ${guest} from` }).isVisible();
  });
  await page.locator("#figures").getByText("the source", { exact: true }).waitFor();
}

async function tab(context, address, id, guest) {
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  await page.goto(address);
  await look(page, id, guest);
  return page;
}

async function watched(context, proxy, direct, store) {
  const guest = "database";
  const id = await begin(direct.address, guest);
  const pages = [];
  for (let number = 0; number < TABS; number += 1) pages.push(await tab(context, proxy.address, id, guest));
  await until("one stream for all tabs", () => proxy.streams === 1);
  await pages[0].evaluate(() => document.getElementById("cancel").addEventListener("click", () => { globalThis.pressed = Date.now(); }));
  await pages[0].getByRole("button", { name: "Cancel the migration" }).click();
  await until(`the cancel is sent (${store})`, () => proxy.sent.has(`/api/v1/migrations/${id}/cancel`));
  const sent = proxy.sent.get(`/api/v1/migrations/${id}/cancel`) - await pages[0].evaluate(() => globalThis.pressed);
  assert.ok(sent < MOST_MS_UNTIL_SENT, `the cancel was sent after ${sent} ms`);
  await pages[0].locator("#answer").getByText(/The cancel: cancelled: the guest is on the source/).waitFor();
  assert.equal((await get(direct.address, `/api/v1/migrations/${id}`)).state, "cancelled");
  // Every other tab receives it from the shared stream.
  for (const page of pages) await page.locator("#standing").getByText(/Cancelled: .database. runs on alpha/).waitFor();
  console.log(`     ${TABS} tabs: the cancel was sent ${sent} ms after it was pressed, with ${proxy.most} streams at most`);
  assert.equal(proxy.most, 1, "streams of events");
  return pages;
}

const first = await serve("127.0.0.1:0", "one.sqlite");
const proxy = await between(first.address);
const { browser, page } = await open(proxy.address);
let second = null;
try {
  const context = page.context();
  let pages = [];
  await step(`with ${TABS} tabs open, a cancel is sent at once, and answered`, async () => {
    pages = await watched(context, proxy, first, "shared worker");
  });

  await step("a tab that is closed or loaded again leaves the others their events", async () => {
    await pages.shift().close();
    await pages[0].reload();
    for (const one of pages.slice(2)) await one.close();
    pages.length = 2;
    await pages[0].getByRole("button", { name: "Migrate web" }).waitFor();
    const id = await begin(first.address, "web");
    for (const one of pages) await look(one, id, "web");
    assert.equal(proxy.most, 1);
    await post(first.address, `/api/v1/migrations/${id}/cancel`, {});
    for (const one of pages) await one.locator("#standing").getByText(/Cancelled: .web. runs on alpha/).waitFor();
  });

  await step("a tab that joins the stream after a migration began lists it all the same", async () => {
    const late = await browser.newContext({ reducedMotion: "reduce" });
    // Keeps a tab from joining until it is released.
    await late.addInitScript(() => {
      const request = navigator.locks.request.bind(navigator.locks);
      const held = new Promise((go) => { globalThis.letGo = go; });
      navigator.locks.request = async (name, run) => {
        if (globalThis.late && name.startsWith("whimbrel tab ")) await held;
        return request(name, run);
      };
    });
    const one = await late.newPage();
    await one.goto(first.address);
    await one.getByText("connected", { exact: true }).waitFor();
    const two = await late.newPage();
    await two.addInitScript(() => { globalThis.late = true; });
    await two.goto(first.address);
    await two.getByRole("button", { name: "Migrate web" }).waitFor();
    const id = await begin(first.address, "web");
    await one.getByRole("button", { name: "Watch the migration of web" }).waitFor();
    await two.evaluate(() => globalThis.letGo());
    await two.getByRole("button", { name: "Watch the migration of web" }).waitFor({ timeout: 5000 });
    await post(first.address, `/api/v1/migrations/${id}/cancel`, {});
    await one.getByRole("button", { name: "Migrate web" }).waitFor();
    await late.close();
  });

  await step("a service that does not answer: not sent, with what to do; and the answer, when it comes", async () => {
    const one = pages[0];
    await look(one, await begin(first.address, "web"), "web");
    first.service.kill("SIGSTOP");
    await one.getByRole("button", { name: "Cancel the migration" }).click();
    const answer = one.locator("#answer");
    await answer.getByText("Sending …").waitFor({ timeout: 1000 });
    const began = Date.now();
    await answer.getByText(/Not sent yet, or not answered/).waitFor({ timeout: 6000 });
    assert.ok(Date.now() - began > 1500, "said too early");
    const words = await answer.textContent();
    assert.match(words, /The migration goes on/);
    assert.match(words, /virsh -c 'sim:\/\/alpha' domjobabort --domain 'web'/);
    first.service.kill("SIGCONT");
    await answer.getByText(/The cancel: cancelled/).waitFor();
  });

  await step("a service that is gone: not sent, for every command, and no failure in the browser's own words", async () => {
    const one = pages[1];
    await look(one, await begin(first.address, "web"), "web");
    first.service.kill("SIGKILL");
    await first.gone;
    const answer = one.locator("#answer");
    for (const press of ["Cancel the migration", "Stop the guest until it has arrived", "Switch to post-copy"]) {
      await one.getByRole("button", { name: press }).click();
      await answer.getByText(/Not sent: the service does not answer. The migration goes on/).waitFor({ timeout: 5000 });
      if (press.startsWith("Cancel")) assert.match(await answer.textContent(), /domjobabort --domain 'web'/);
    }
    await one.getByText("the connection is lost").waitFor();
    await one.getByRole("button", { name: "Migrate idle" }).click();
    await one.getByRole("button", { name: "Migrate", exact: true }).click();
    await one.locator("#preflight").getByText("The service does not answer").waitFor();
    assert.ok(!/Failed to fetch/.test(await one.locator("body").textContent()), "the browser's own words");
    await one.getByRole("button", { name: "Close" }).click();
  });

  await step("back again, with another store: the tabs read everything again", async () => {
    second = await serve(first.address.replace("http://", ""), "two.sqlite");
    await begin(second.address, "idle");
    for (const one of pages) await one.getByRole("button", { name: "Watch the migration of idle" }).waitFor();
    await pages[0].getByText("connected", { exact: true }).waitFor();
  });

  await step("without shared workers one tab leads, and when it is closed another does", async () => {
    const without = await browser.newContext({ reducedMotion: "reduce" });
    await without.addInitScript(() => { delete globalThis.SharedWorker; });
    const other = await between(second.address);
    const tabs = await watched(without, other, second, "elected");
    await tabs.shift().close();
    const id = await begin(second.address, "build");
    for (const one of tabs) await look(one, id, "build");
    await post(second.address, `/api/v1/migrations/${id}/cancel`, {});
    for (const one of tabs) await one.locator("#standing").getByText(/Cancelled: .build. runs on alpha/).waitFor();
    assert.equal(other.streams, 1);
    await without.close();
    other.close();
  });
} finally {
  await browser.close();
  proxy.close();
  for (const one of [first, second]) one?.service.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}
