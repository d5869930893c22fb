import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { peakGrowth } from "../support/memory.ts";
import { startOutrigger } from "../support/outrigger.ts";
import { ended, ownHome, runToEnd } from "../support/processes.ts";
import { waitFor } from "../support/wait.ts";

/** What an app writes, on its way through Outrigger to whoever reads, slowly or not at all. */

const NODE = process.execPath;
const LINES = 131_072;
// 128 MiB: far more than all pipes on the way hold.
const CHATTY = `
  const line = "x".repeat(1023) + "\\n";
  for (let i = 0; i < ${LINES}; i++) fs.writeSync(1, line);
  console.error("has written all");
`;
const RUN = ["run", "--app-id", "chatty", "--", NODE, "-e"];

describe("an app that writes", { timeout: 240_000 }, () => {
  test("waits for a reader that stalls, costs no memory, and loses no line once it is read on", async (t) => {
    const outrigger = startOutrigger(t, [...RUN, CHATTY], { home: ownHome(t) });
    const { stdout } = outrigger.process;
    assert.ok(stdout);
    await outrigger.waitForOutput(/│ x/);
    stdout.pause();
    // An app that does not wait has written all by then, or soon; one that waits never will.
    const growth = await peakGrowth([outrigger.pid], () => sleep(2000));
    assert.ok(!outrigger.stderr.includes("has written all"));
    assert.ok(growth < 64 * 1024, `${growth} KiB`);
    stdout.resume();
    const { code, stdout: shown } = await ended(outrigger);
    assert.equal(code, 0);
    assert.equal(shown.match(/^chatty │ x{1023}$/gm)?.length, LINES);
  });

  test("goes on when its reader leaves", async (t) => {
    const outrigger = startOutrigger(t, [...RUN, CHATTY], { home: ownHome(t) });
    await outrigger.waitForOutput(/│ x/);
    outrigger.process.stdout?.destroy();
    await waitFor("the app to end", () => outrigger.stderr.includes("has written all"));
    assert.equal((await ended(outrigger)).code, 0);
  });

  test("without ever ending a line is shown in pieces", async (t) => {
    const script = 'for (let i = 0; i < 10; i++) fs.writeSync(1, "y".repeat(50_000))';
    const { code, stdout } = await runToEnd(t, [...RUN, script], { home: ownHome(t) });
    assert.equal(code, 0);
    const pieces = [...stdout.matchAll(/^chatty │ (y+)$/gm)].map(([, piece = ""]) => piece);
    assert.equal(pieces.join("").length, 500_000);
    assert.ok(pieces.every(({ length }) => length <= 65_536));
  });
});
