import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { bundledProgram, Program } from "../support/local-broker-program.ts";
import { LONG } from "../support/long.ts";
import { waitFor } from "../support/wait.ts";

const EVENTS = LONG ? 100_000 : 5000;
const KILLS = LONG ? 200 : 15;
const PUBLISHERS = 2;
const SUBSCRIBERS = 3;
const AT_ONCE = 8;
// Bounds a hang; it never decides.
const PATIENCE_MS = LONG ? 15 * 60_000 : 120_000;

test(`processes are killed at random, and each of ${EVENTS} events that was said to be safe is handed out`, {
  timeout: 2 * PATIENCE_MS,
}, async (t) => {
  const home = mkdtempSync(join(tmpdir(), "outrigger-loss-"));
  t.after(() => {
    rmSync(home, { recursive: true, force: true });
  });
  const program = await bundledProgram(t);
  const taken = new Set<string>();
  const got = new Map<string, number>();
  const failures: string[] = [];
  let started = 0;
  const start = (role: "publish" | "subscribe"): Program => {
    const name = role === "publish" ? `p${started++}` : "group";
    return new Program(t, [process.execPath, program, home, role, "orders", name, `${AT_ONCE}`], (line) => {
      const [, what, text = ""] = /^(\w+) ?(.*)$/.exec(line) ?? [];
      if (what === "took") taken.add(text);
      if (what === "got") got.set(text, (got.get(text) ?? 0) + 1);
      if (what === "failed") failures.push(text);
    });
  };
  const running = [
    ...Array.from({ length: PUBLISHERS }, () => ({ role: "publish" as const, program: start("publish") })),
    ...Array.from({ length: SUBSCRIBERS }, () => ({ role: "subscribe" as const, program: start("subscribe") })),
  ];
  const isReady = (one: Program): boolean => one.lines.some((line) => line !== "ready");
  let kills = 0;
  const deadline = Date.now() + PATIENCE_MS;
  while ((taken.size < EVENTS || kills < KILLS) && Date.now() < deadline) {
    const victim = running[Math.floor(Math.random() * running.length)];
    assert.ok(victim);
    // At any moment of its work; one that has only begun would be killed in its start alone.
    await waitFor("the victim to work", () => isReady(victim.program) || !victim.program.isRunning || kills % 4 === 3);
    await sleep(Math.random() * (LONG ? 400 : 200));
    assert.ok(victim.program.isRunning, `a ${victim.role} process ended by itself`);
    await victim.program.kill();
    kills += 1;
    victim.program = start(victim.role);
  }
  const [publishers, subscribers] = (["publish", "subscribe"] as const).map((role) =>
    running.filter((one) => one.role === role).map((one) => one.program),
  ) as [Program[], Program[]];
  await Promise.all(publishers.map((one) => one.stop()));
  const missing = (): string[] => [...taken].filter((text) => !got.has(text));
  let before = got.size;
  let quietSince = Date.now();
  while (missing().length > 0 && Date.now() - quietSince < 30_000) {
    await sleep(50);
    if (got.size !== before) [before, quietSince] = [got.size, Date.now()];
  }
  await Promise.all(subscribers.map((one) => one.stop()));
  const all = [...got.values()].reduce((sum, count) => sum + count, 0);
  t.diagnostic(`${taken.size} events were safe, ${kills} processes killed, ${all - got.size} duplicates`);
  assert.deepEqual(missing().slice(0, 10), [], `${missing().length} events are lost`);
  assert.deepEqual(failures, [], "nobody was refused");
  assert.ok(taken.size >= EVENTS && kills >= KILLS, `${taken.size} events and ${kills} kills in time`);
});
