import assert from "node:assert/strict";
import { test } from "node:test";
import { abortReason, type CallSignal } from "../core/call-signal.ts";
import type { Clock } from "../core/clock.ts";
import { AppHealth, type AppHealthParts } from "./app-health.ts";
import type { AppProbe } from "./ports.ts";

const INTERVAL_MS = 5000;
const TIMEOUT_MS = 500;

interface Sleeper {
  readonly until: number;
  readonly wake: () => void;
}

/** Time that passes when the test says so, and wakes those whose time has come in order. */
class VirtualClock implements Clock {
  #now = 0;
  #sleepers: Sleeper[] = [];

  get sleeping(): number {
    return this.#sleepers.length;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: CallSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const sleeper: Sleeper = { until: this.#now + ms, wake: resolve };
      const leave = (): void => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(abortReason(signal));
      };
      if (signal?.aborted === true) {
        leave();
        return;
      }
      signal?.addEventListener("abort", { handleEvent: leave });
      this.#sleepers.push(sleeper);
    });
  }

  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    await microtasks();
    for (let next = this.#nextUntil(end); next !== undefined; next = this.#nextUntil(end)) {
      this.#now = Math.max(this.#now, next.until);
      this.#sleepers = this.#sleepers.filter((other) => other !== next);
      next.wake();
      await microtasks();
    }
    this.#now = end;
  }

  /** The process stood still: nobody was woken meanwhile. */
  stall(ms: number): void {
    this.#now += ms;
  }

  #nextUntil(end: number): Sleeper | undefined {
    const due = this.#sleepers.filter(({ until }) => until <= end);
    return due.reduce<Sleeper | undefined>((a, b) => (a === undefined || b.until < a.until ? b : a), undefined);
  }
}

const NEVER = Symbol("no answer");

type Answer = string | undefined | Error | typeof NEVER;

/** An app that is asked, and says what it was told to say: what is wrong with it, or nothing. */
class FakeProbe implements AppProbe {
  readonly askedAt: number[] = [];
  answer: Answer = undefined;
  atOnce = 0;
  mostAtOnce = 0;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async ask(signal: CallSignal): Promise<string | undefined> {
    this.askedAt.push(this.#clock.monotonic());
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.atOnce);
    try {
      if (this.answer === NEVER) return await rejectionOf(signal);
      if (this.answer instanceof Error) throw this.answer;
      return this.answer;
    } finally {
      this.atOnce--;
    }
  }
}

function start(changes: Partial<AppHealthParts> = {}) {
  const clock = new VirtualClock();
  const probe = new FakeProbe(clock);
  const health = new AppHealth({
    probe,
    clock,
    intervalMs: INTERVAL_MS,
    timeoutMs: TIMEOUT_MS,
    threshold: 3,
    ...changes,
  });
  const told: string[] = [];
  health.onChange((change) => {
    // The change has happened when it is told.
    assert.equal(health.isHealthy, change.healthy);
    told.push(`${clock.now()} ${change.healthy ? "healthy" : change.reason}`);
  });
  return { clock, probe, health, told };
}

test("an app is not healthy before it says so, and is as soon as it does", async () => {
  const { clock, health, told } = start();
  assert.equal(health.isHealthy, false);
  health.start();
  await clock.pass(0);
  assert.equal(health.isHealthy, true);
  assert.deepEqual(told, ["0 healthy"]);
});

test("it is asked at once, and then every interval", async () => {
  const { clock, probe, health, told } = start();
  health.start();
  await clock.pass(3 * INTERVAL_MS);
  assert.deepEqual(probe.askedAt, [0, 5000, 10_000, 15_000]);
  // Staying as it is, is no change.
  assert.deepEqual(told, ["0 healthy"]);
});

test("as many failures in a row as the threshold says make it unhealthy, which is told once, with the last reason", async () => {
  const { clock, probe, health, told } = start();
  health.start();
  await clock.pass(0);
  probe.answer = "answered 500";
  await clock.pass(2 * INTERVAL_MS);
  assert.equal(health.isHealthy, true);
  probe.answer = "answered 503";
  await clock.pass(INTERVAL_MS);
  assert.equal(health.isHealthy, false);
  await clock.pass(10 * INTERVAL_MS);
  assert.deepEqual(told, ["0 healthy", "15000 answered 503"]);
});

test("one success makes it healthy again, and the counting begins anew", async () => {
  const { clock, probe, health, told } = start({ threshold: 2 });
  health.start();
  await clock.pass(0);
  probe.answer = "bad";
  await clock.pass(2 * INTERVAL_MS);
  probe.answer = undefined;
  await clock.pass(INTERVAL_MS);
  assert.equal(health.isHealthy, true);
  probe.answer = "bad";
  await clock.pass(INTERVAL_MS);
  assert.equal(health.isHealthy, true);
  await clock.pass(INTERVAL_MS);
  assert.deepEqual(told, ["0 healthy", "10000 bad", "15000 healthy", "25000 bad"]);
});

test("failures with a success between them do not add up", async () => {
  const { clock, probe, health, told } = start({ threshold: 2 });
  health.start();
  await clock.pass(0);
  for (let round = 0; round < 5; round++) {
    probe.answer = "bad";
    await clock.pass(INTERVAL_MS);
    probe.answer = undefined;
    await clock.pass(INTERVAL_MS);
  }
  assert.deepEqual(told, ["0 healthy"]);
});

test("an app that has never been healthy is told of once, after as many failures", async () => {
  const { clock, probe, health, told } = start();
  probe.answer = "connection refused";
  health.start();
  await clock.pass(2 * INTERVAL_MS - 1);
  assert.deepEqual(told, []);
  await clock.pass(5 * INTERVAL_MS);
  assert.deepEqual(told, ["10000 connection refused"]);
  assert.equal(health.isHealthy, false);
});

test("an app that does not answer in time has failed, and the probe is called off", async () => {
  const { clock, probe, health, told } = start({ threshold: 1 });
  probe.answer = NEVER;
  health.start();
  await clock.pass(TIMEOUT_MS - 1);
  assert.equal(probe.atOnce, 1);
  assert.deepEqual(told, []);
  await clock.pass(1);
  assert.equal(probe.atOnce, 0);
  assert.deepEqual(told, ["500 no answer within 500 ms"]);
});

test("a probe that breaks has failed, with what broke it as the reason", async () => {
  const { clock, probe, health, told } = start({ threshold: 1 });
  probe.answer = new Error("no such thing");
  health.start();
  await clock.pass(0);
  assert.deepEqual(told, ["0 no such thing"]);
});

test("probes never overlap, though each take all of the interval", async () => {
  const { clock, probe, health } = start({ timeoutMs: INTERVAL_MS });
  probe.answer = NEVER;
  health.start();
  await clock.pass(4 * INTERVAL_MS - 1);
  assert.equal(probe.mostAtOnce, 1);
  assert.deepEqual(probe.askedAt, [0, 5000, 10_000, 15_000]);
  health.stop();
});

test("a process that stood still makes up for no probe it has missed", async () => {
  const { clock, probe, health } = start();
  health.start();
  await clock.pass(1);
  clock.stall(10 * INTERVAL_MS);
  await clock.pass(2 * INTERVAL_MS);
  assert.deepEqual(probe.askedAt, [0, 50_001, 55_001, 60_001]);
});

test("stopped, it asks no more, tells no more, leaves its state as it is, and nothing stays asleep", async () => {
  const { clock, probe, health, told } = start({ threshold: 1 });
  health.start();
  await clock.pass(INTERVAL_MS);
  health.stop();
  health.stop();
  probe.answer = "bad";
  await clock.pass(10 * INTERVAL_MS);
  assert.deepEqual(probe.askedAt, [0, 5000]);
  assert.deepEqual(told, ["0 healthy"]);
  assert.equal(health.isHealthy, true);
  assert.equal(clock.sleeping, 0);
});

test("stopped while it asks, it calls that off, and takes it for no failure", async () => {
  const { clock, probe, health, told } = start({ threshold: 1 });
  probe.answer = NEVER;
  health.start();
  await clock.pass(1);
  health.stop();
  await microtasks();
  assert.equal(probe.atOnce, 0);
  assert.deepEqual(told, []);
  assert.equal(clock.sleeping, 0);
});

test("stopped before it has started, it never asks", async () => {
  const { clock, probe, health } = start();
  health.stop();
  health.start();
  await clock.pass(INTERVAL_MS);
  assert.deepEqual(probe.askedAt, []);
});

function rejectionOf(signal: CallSignal): Promise<never> {
  return new Promise((_, reject) => {
    const leave = (): void => {
      reject(abortReason(signal));
    };
    signal.addEventListener("abort", { handleEvent: leave });
  });
}

/** Everything that does not wait for something outside has happened. */
async function microtasks(): Promise<void> {
  await new Promise(setImmediate);
}
