import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../test/support/manual-clock.ts";
import { abortReason, CallAbort, type CallSignal } from "../core/call-signal.ts";
import { CircuitBreaker, CircuitOpen } from "./circuit-breaker.ts";
import { type PolicedWork, runWithPolicy, TimedOut } from "./policy-runner.ts";
import type { CallPolicy } from "./resiliency-policies.ts";

interface Answer {
  readonly status: number;
  readonly retryAfterMs?: number;
}

const NONE: CallPolicy = {
  timeoutMs: undefined,
  retry: undefined,
  breaker: undefined,
};
const retry = {
  policy: "constant",
  durationMs: 100,
  maxIntervalMs: 5000,
  maxRetries: 2,
  matching: undefined,
} as const;

/** Answers in turn; an Error is thrown, `never` waits for the signal. Time passes as soon as somebody sleeps. */
function work(
  policy: Partial<CallPolicy>,
  answers: readonly (Answer | Error | "never")[],
  changes: Partial<PolicedWork<Answer>> = {},
) {
  const clock = new ManualClock();
  const slept: number[] = [];
  const discarded: Answer[] = [];
  const signal = new CallAbort();
  let attempts = 0;
  const done = runWithPolicy<Answer>({
    policy: { ...NONE, ...policy },
    clock: {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      sleep: (ms, waiter) => {
        if (waiter !== signal) return clock.sleep(ms, waiter);
        slept.push(ms);
        clock.advance(ms);
        return Promise.resolve();
      },
    },
    signal,
    random: () => 0.5,
    attempt: (attemptSignal) => {
      const answer = answers[attempts++];
      if (answer === "never") return unanswered(attemptSignal);
      if (answer === undefined) throw new Error("it was tried too often");
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
    failureIn: ({ status, retryAfterMs }) =>
      status < 400 ? undefined : { code: { protocol: "http", code: status }, retryAfterMs },
    failureOf: () => ({ code: undefined }),
    mayRepeat: () => true,
    discard: (answer) => discarded.push(answer),
    whenUsed: (_, over) => {
      over();
    },
    ...changes,
  });
  return { done, clock, slept, discarded, signal, attempts: () => attempts };
}

function unanswered(signal: CallSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", {
      handleEvent: () => {
        reject(abortReason(signal));
      },
    });
  });
}

const [ok, bad] = [{ status: 200 }, { status: 503 }];

test("a failed answer is tried again as often as the policy says, then given out", async () => {
  const { done, slept, discarded, attempts } = work({ retry }, [bad, bad, bad]);
  assert.equal(await done, bad);
  assert.equal(attempts(), 3);
  assert.deepEqual(slept, [100, 100]);
  assert.equal(discarded.length, 2);
});

test("an error too, and the last is thrown", async () => {
  const [first, second, third] = ["1", "2", "3"].map((text) => new Error(text)) as [Error, Error, Error];
  await assert.rejects(work({ retry }, [first, second, third]).done, third);
  assert.equal(await work({ retry }, [first, bad, ok]).done, ok);
});

test("without a retry policy there is one try", async () => {
  const { done, attempts } = work({}, [bad]);
  assert.equal(await done, bad);
  assert.equal(attempts(), 1);
});

test("only codes that the policy names are tried again; what has none always is", async () => {
  const matching = { http: [{ from: 500, to: 502 }], grpc: undefined };
  assert.equal(await work({ retry: { ...retry, matching } }, [bad]).done, bad);
  assert.equal(await work({ retry: { ...retry, matching } }, [{ status: 501 }, ok]).done, ok);
  assert.equal(await work({ retry: { ...retry, matching } }, [new Error("no answer"), ok]).done, ok);
});

test("what may not be repeated is not", async () => {
  const { done, attempts } = work({ retry }, [bad], { mayRepeat: () => false });
  assert.equal(await done, bad);
  assert.equal(attempts(), 1);
});

test("who asks to be left alone is, where the policy can wait so long", async () => {
  const asked = { status: 503, retryAfterMs: 3000 };
  const patient = work({ retry }, [asked, ok]);
  assert.equal(await patient.done, ok);
  assert.deepEqual(patient.slept, [3000]);
  const tooLong = { status: 503, retryAfterMs: 6000 };
  assert.equal(await work({ retry }, [tooLong]).done, tooLong);
});

test("each try has its own time, after which it has failed", async () => {
  const it = work({ retry, timeoutMs: 50 }, ["never", ok]);
  await Promise.resolve();
  it.clock.advance(50);
  assert.equal(await it.done, ok);
  const late = work({ timeoutMs: 50 }, ["never"]);
  late.clock.advance(50);
  await assert.rejects(late.done, TimedOut);
});

test("the time of a try runs until its answer is used up", async () => {
  let over = (): void => undefined;
  const tried: CallSignal[] = [];
  const aborted = (): boolean[] => tried.map((signal) => signal.aborted);
  const it = work({ timeoutMs: 50 }, [], {
    attempt: (signal) => {
      tried.push(signal);
      return Promise.resolve(ok);
    },
    whenUsed: (_, done) => {
      over = done;
    },
  });
  await it.done;
  it.clock.advance(49);
  assert.deepEqual(aborted(), [false]);
  it.clock.advance(1);
  await Promise.resolve();
  assert.deepEqual(aborted(), [true]);
  over();
});

test("what is used without end has no time, and still hears that nobody waits for it any more", async () => {
  let heard: CallSignal | undefined;
  const { done, clock, signal } = work({ timeoutMs: 1000 }, [], {
    attempt: (attemptSignal) => {
      heard = attemptSignal;
      return Promise.resolve({ status: 200 });
    },
    whenUsed: (_result, over) => {
      over();
    },
  });
  await done;
  clock.advance(1000);
  assert.equal(heard?.aborted, false);
  signal.abort(new Error("gone"));
  assert.equal(heard.aborted, true);
});

test("a circuit that opens ends the tries", async () => {
  const policy = { maxRequests: 1, intervalMs: 0, timeoutMs: 1000, trips: () => true };
  const breaker = new CircuitBreaker(policy, new ManualClock());
  const { done, attempts } = work({ retry, breaker }, [bad]);
  await assert.rejects(done, CircuitOpen);
  assert.equal(attempts(), 1);
});

test("a caller that leaves ends it with its reason", async () => {
  const it = work({ retry, timeoutMs: 50 }, ["never"]);
  it.signal.abort(new Error("gone"));
  await assert.rejects(it.done, new Error("gone"));
  assert.equal(it.attempts(), 1);
});
