// The page on two real hosts: a guest is migrated from one libvirt daemon to the other in the browser, to the end. The lab's
// test starts the hosts and the service, and queries both hosts itself afterwards.
//
//   node hosts.mjs FOLDER_FOR_SCREENSHOTS ADDRESS GUEST DESTINATION

import assert from "node:assert/strict";
import { accessible, open, shot, step } from "./browser.mjs";

const [, , , address, guest, destination] = process.argv;
const { browser, page, trouble } = await open(`${address}/`);
try {
  await step("both hosts and the guest are shown", async () => {
    await page.goto(address);
    await page.getByRole("button", { name: `Migrate ${guest}` }).waitFor();
    await page.locator("#hosts").getByText(destination).waitFor();
    assert.equal(await page.locator("#hosts li", { hasText: "QEMU" }).count(), 2);
    await accessible(page, "the first view of real hosts");
  });

  await step("the window finds nothing against it", async () => {
    await page.getByRole("button", { name: `Migrate ${guest}` }).click();
    await page.getByLabel("To which host").fill(destination);
    await page.getByRole("button", { name: "Check" }).click();
    await page.getByText("Nothing stands against it.").waitFor();
  });

  await step("the guest is migrated, and its copy drawn", async () => {
    await page.getByText("Limits", { exact: true }).click();
    await page.getByLabel("The link may be used up to, MiB/s").fill("32");
    await page.getByRole("button", { name: "Migrate", exact: true }).click();
    await page.getByRole("heading", { name: new RegExp(`Migration 1: ${guest}`) }).waitFor();
    await page.locator("#standing").getByText(new RegExp(`Completed: .${guest}. runs on`)).waitFor({ timeout: 120_000 });
    assert.ok((await page.locator("#syncs tr").count()) >= 1, "no sync was shown");
    await shot(page, "hosts");
    await page.locator("#guests tr", { hasText: guest }).getByText(destination).waitFor();
  });

  assert.deepEqual(trouble, [], "the browser complained");
} finally {
  await browser.close();
}
