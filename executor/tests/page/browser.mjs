// A real browser, and the helpers that every test of the page uses.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const pictures = process.argv[2];

// A page that records every error of the browser, and every request to another server than the service.
export async function open(address) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  // A colour in the middle of a transition would fail the contrast check.
  const reducedMotion = "reduce";
  const context = await browser.newContext({ reducedMotion, viewport: { width: 1280, height: 900 }, acceptDownloads: true });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const [trouble, bodies] = [[], []];
  page.on("pageerror", (error) => trouble.push(`error: ${error.message}`));
  page.on("console", (message) => message.type() === "error" && trouble.push(`console: ${message.text()}`));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(address) && !/^(data|blob):/.test(url)) trouble.push(`foreign request: ${url}`);
  });
  page.on("response", (response) => {
    if (/event-stream/.test(response.headers()["content-type"] ?? "")) return;
    bodies.push(response.body().catch(() => Buffer.alloc(0)));
  });
  return { browser, page, trouble, bodies };
}

export async function accessible(page, what) {
  // The page's policy permits no foreign script; axe is therefore evaluated through the browser's debugging interface.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  const found = violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" | ")}`);
  assert.deepEqual(found, [], `axe-core on ${what}`);
}

export const shot = (page, name) => (pictures ? page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true }) : null);

export async function step(name, run) {
  const began = Date.now();
  await run();
  console.log(`ok   ${name} (${Date.now() - began} ms)`);
}
