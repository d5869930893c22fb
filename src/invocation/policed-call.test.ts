import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../test/support/manual-clock.ts";
import { CallAbort } from "../core/call-signal.ts";
import type { RequestMessage, ResponseMessage } from "../core/message.ts";
import { callUnderPolicy } from "./policed-call.ts";

const retry = {
  policy: "constant",
  durationMs: 5,
  maxIntervalMs: 60_000,
  maxRetries: 1,
  matching: undefined,
} as const;

/** How long is waited after a 503 with this header, in milliseconds; undefined where its answer is given out. */
async function pauseAfter(retryAfter: string): Promise<number | undefined> {
  const clock = new ManualClock();
  const date = new Date(clock.now() + 7000).toUTCString();
  const request: RequestMessage = {
    method: "GET",
    path: "/x",
    query: undefined,
    headers: [],
    body: undefined,
    contentLength: undefined,
    signal: new CallAbort(),
  };
  const headers = ["Retry-After", retryAfter.replace("DATE", date)];
  const slept: number[] = [];
  let tries = 0;
  const { status } = await callUnderPolicy({
    policy: { timeoutMs: undefined, breaker: undefined, retry },
    replay: { request, body: undefined, safeRetries: false },
    clock: {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      sleep: (ms) => {
        slept.push(ms);
        return Promise.resolve();
      },
    },
    attempt: () => {
      const answer: ResponseMessage = {
        status: tries++ === 0 ? 503 : 200,
        statusText: "",
        headers,
        body: undefined,
      };
      return Promise.resolve(answer);
    },
  });
  assert.equal(status, slept.length === 0 ? 503 : 200);
  return slept[0];
}

for (const [header, pauseMs] of [
  ["1", 1000],
  ["0", 5],
  ["60", 60_000],
  ["61", undefined],
  ["DATE", 7000],
  ["Sun, 06 Nov 1994 08:49:37 GMT", 5],
  ["soon", 5],
  ["1.5", 5],
  ["-1", 5],
] as const) {
  test(`Retry-After: ${header} is ${pauseMs === undefined ? "longer than the policy waits" : `a pause of ${pauseMs} ms`}`, async () => {
    assert.equal(await pauseAfter(header), pauseMs);
  });
}
