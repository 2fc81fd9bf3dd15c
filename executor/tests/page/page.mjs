// The page as a user sees it: real Chromium, the real service, simulated hosts. Every check can fail.
//
//   WHIMBREL_BIN=target/debug/whimbrel node page.mjs [FOLDER FOR SCREENSHOTS]

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accessible, open, shot, step } from "./browser.mjs";

const MOST_FIRST_VIEW_BYTES = 150 * 1024;
const folder = mkdtempSync(join(tmpdir(), "whimbrel-page-"));

function serve(...more) {
  const program = process.env.WHIMBREL_BIN;
  assert.ok(program, "WHIMBREL_BIN names the program");
  const service = spawn(program, ["serve", "--listen", "127.0.0.1:0", "--store", join(folder, `${more.length}.sqlite`), ...more]);
  return new Promise((ready, failed) => {
    let said = "";
    service.stderr.on("data", (text) => {
      said += text;
      const address = said.match(/listening at (\S+);/)?.[1];
      if (address) ready({ service, address });
    });
    service.on("exit", (code) => failed(new Error(`the service ended with ${code}: ${said}`)));
  });
}

// A third party resumes the guest on the source just after the switchover: two copies run.
async function twice() {
  const { service, address } = await serve("--sim-scenario", "twice.toml", "--sim-speed", "4");
  const { browser, page, trouble } = await open(address);
  try {
    await page.goto(address);
    await page.getByRole("button", { name: "Migrate wren" }).click();
    await page.locator("#migrate summary").click();
    await page.getByLabel("In doubt, look at both hosts for, s").fill("8");
    await page.getByRole("button", { name: "Migrate", exact: true }).click();
    await page.locator("#standing").getByText("TWO COPIES RUN").waitFor();
    await page.getByRole("link", { name: "What to do when a migration is in doubt" }).waitFor();
    await page.locator("#standing").getByText(/seen running on BOTH/).waitFor();
    await page.locator("#guests").getByText("RUNNING TWICE: also on sim://").first().waitFor();
    await accessible(page, "a guest that runs twice");
    await shot(page, "twice");
    const [help] = await Promise.all([page.waitForEvent("popup"), page.getByRole("link", { name: "What to do about wren" }).first().click()]);
    await help.getByText("Two running copies").first().waitFor();
    assert.deepEqual(trouble, [], "the browser complained");
  } finally {
    await browser.close();
    service.removeAllListeners("exit");
    service.kill("SIGTERM");
  }
}

await step("a guest that runs twice is an alarm, with what to do", twice);
const { service, address } = await serve("--sim-speed", "1");
const { browser, page, trouble, bodies } = await open(address);
let failed = true;
try {
  await step("the first view shows guests and hosts and is small", async () => {
    await page.goto(address);
    await page.getByRole("button", { name: "Migrate build" }).waitFor();
    await page.locator("#hosts").getByText("sim://gamma").waitFor();
    await page.getByText("connected", { exact: true }).waitFor();
    const size = (await Promise.all(bodies)).reduce((sum, body) => sum + body.length, 0);
    assert.ok(size > 10_000 && size <= MOST_FIRST_VIEW_BYTES, `the first view has ${size} bytes`);
    // Two guests of one name are both listed, and users of a screen reader can distinguish them.
    for (const host of ["beta", "gamma"]) await page.getByRole("button", { name: `Migrate proxy on sim://${host}`, exact: true }).waitFor();
    await accessible(page, "the first view");
    await shot(page, "guests");
  });

  await step("the window says what stands against a migration", async () => {
    await page.getByRole("button", { name: "Migrate build" }).click();
    await page.getByLabel("To which host").fill("sim://alpha");
    await page.getByRole("button", { name: "Check" }).click();
    await page.getByText("It would be refused:").waitFor();
    await accessible(page, "the window");
    await shot(page, "refused");
  });

  await step("a migration is begun with the keyboard alone", async () => {
    await page.getByLabel("To which host").fill("sim://beta");
    await page.getByText("Limits", { exact: true }).click();
    await page.getByLabel("The link may be used up to, MiB/s").fill("120");
    await page.getByLabel("Post-copy may be asked for").check();
    await page.getByLabel("To which host").focus();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: /Migration 1: build/ }).waitFor();
    await page.getByText("the source", { exact: true }).waitFor();
    await page.locator("#forecast").getByText(/^Forecast after the first pass/).waitFor();
  });

  await step("a regression is drawn and described", async () => {
    await page.locator("#story").getByText(/more than at the previous sync/).first().waitFor({ timeout: 60_000 });
    const words = await page.locator("#remaining-words").textContent();
    assert.match(words, /with [1-9]\d* regressions/);
    const rows = await page.locator("#syncs tr").count();
    assert.ok(rows >= 2, `${rows} syncs in the table`);
    // A verdict with its numbers, and the same that the service's document has.
    await page.locator("#forecast-why").getByText(/dirties [\d,]+ of [\d,]+ MiB\/s; [\d,]+ ms allow [\d,]+ MiB/).waitFor();
    assert.match(await page.locator("#forecast").textContent(), /^(Ends in about \d|Takes longer|No limit up to|A limit of|Not decided)/);
    const served = await page.evaluate(async () => (await (await fetch("/api/v1/migrations/1")).json()).forecast);
    assert.ok(served.numbers.passes >= 1 && served.actions.length > 0, JSON.stringify(served));
    const drawn = await page.locator("#remaining canvas").evaluate((canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.some((value, index) => index % 4 === 3 && value > 0);
    });
    assert.ok(drawn, "nothing is drawn");
    await accessible(page, "the live migration");
    await shot(page, "live");
    await page.emulateMedia({ colorScheme: "dark" });
    await page.waitForFunction(() => {
      // The first is the axis of time; then comes the memory that is left, in the accent of the dark colours.
      const marker = document.querySelectorAll("#remaining .u-marker")[1];
      return marker && getComputedStyle(marker).borderTopColor === "rgb(124, 203, 224)";
    });
    await accessible(page, "the live migration, dark");
    await shot(page, "live-dark");
    await page.emulateMedia({ colorScheme: "light" });
  });

  await step("dark and narrow, it is as accessible", async () => {
    await page.emulateMedia({ colorScheme: "dark" });
    await page.setViewportSize({ width: 360, height: 740 });
    await accessible(page, "the live migration, dark and narrow");
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    assert.ok(!wide, "the page is wider than the screen");
    await shot(page, "narrow-dark");
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 1280, height: 900 });
  });

  await step("a reaction is answered", async () => {
    await page.getByLabel("Allow a bandwidth of, MiB/s").fill("60");
    await page.locator("#bandwidth-form").getByRole("button").click();
    await page.locator("#answer").getByText("The reaction: done.").waitFor();
  });

  await step("a cancel is answered with the truth and what was put right", async () => {
    await page.getByRole("button", { name: "Cancel the migration" }).click();
    const answer = page.locator("#answer");
    await answer.getByText(/The cancel: cancelled: the guest is on the source/).waitFor();
    assert.match(await answer.textContent(), /bandwidth limit was restored/);
    await page.locator("#standing").getByText(/Cancelled: `build` runs on alpha/).waitFor();
    await page.locator("#forecast").waitFor({ state: "hidden" });
    await shot(page, "cancelled");
  });

  await step("history shows a past migration, and its journal can be had", async () => {
    await page.reload();
    await page.getByRole("button", { name: "Look at migration 1" }).click();
    await page.locator("#standing").getByText(/Cancelled/).waitFor();
    assert.ok((await page.locator("#syncs tr").count()) >= 2);
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByText("Download the journal").click()]);
    const journal = readFileSync(await download.path(), "utf8");
    // The journal's version is tested elsewhere; this checks that it is the journal of this migration.
    const header = JSON.parse(journal.split("\n")[0]);
    assert.match(header.schema, /^whimbrel\.journal\/\d+$/);
    assert.equal(header.spec.guest, "build");
  });

  await step("a guest arrives, and is listed where it is", async () => {
    await page.getByRole("button", { name: "Migrate idle" }).click();
    await page.getByLabel("To which host").fill("sim://gamma");
    await page.getByLabel("Password of its ssh account").fill("never to be shown");
    await page.getByRole("button", { name: "Migrate", exact: true }).click();
    await page.locator("#standing").getByText(/Completed: `idle` runs on gamma/).waitFor();
    await page.locator("#guests tr", { hasText: "idle" }).getByText("sim://gamma").waitFor();
    assert.ok(!(await page.content()).includes("never to be shown"), "the password is still on the page");
  });

  await step("every field of the window has a name, and the window fits a narrow screen", async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    await page.getByRole("button", { name: "Migrate web" }).click();
    await page.locator("#migrate summary").click();
    await page.getByLabel("In doubt, look at both hosts for, s").fill("30");
    for (const name of ["then", "Connections at once", "Copy disks that the hosts do not share", "Resume a post-copy that broke for, s"]) await page.getByLabel(name).waitFor();
    await accessible(page, "the window with its limits, narrow");
    const sent = page.waitForRequest((request) => request.url().endsWith("/preflight"));
    await page.getByRole("button", { name: "Check" }).click();
    assert.equal((await sent).postDataJSON().doubt_patience_ms, 30_000);
    await page.getByText("Nothing stands against it.").waitFor();
    await page.getByRole("button", { name: "Close" }).click();
    await page.setViewportSize({ width: 1280, height: 900 });
  });

  assert.deepEqual(trouble, [], "the browser complained");
  failed = false;
} finally {
  await browser.close();
  service.removeAllListeners("exit");
  service.kill("SIGTERM");
  await new Promise((gone) => service.on("exit", gone));
  rmSync(folder, { recursive: true });
  if (failed) console.error("the page's tests failed; the browser said:", trouble);
}
