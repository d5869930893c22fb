import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import type { Middleware } from "../components/contract/middleware.ts";
import { CallAbort } from "../core/call-signal.ts";
import type { Body, RequestMessage, ResponseMessage } from "../core/message.ts";
import { Pipeline } from "./pipeline.ts";

const request: RequestMessage = {
  method: "GET",
  path: "/",
  query: undefined,
  headers: [],
  body: undefined,
  contentLength: undefined,
  signal: new CallAbort(),
};

function answerWith(body: Body): ResponseMessage {
  return { status: 200, statusText: "", headers: [], body };
}

/** Notes when it is passed, on the way in and out. */
function step(name: string, passed: string[]): Middleware {
  return {
    init: () => Promise.resolve(),
    handle: async (passedOn, next) => {
      passed.push(`${name} in`);
      const response = await next(passedOn);
      passed.push(`${name} out`);
      return response;
    },
    close: () => Promise.resolve(),
  };
}

async function isIdle(pipeline: Pipeline): Promise<boolean> {
  let idle = false;
  void pipeline.whenIdle().then(() => {
    idle = true;
  });
  for (let i = 0; i < 5; i++) await Promise.resolve();
  return idle;
}

test("each step is around those behind it", async () => {
  const passed: string[] = [];
  const pipeline = new Pipeline([step("a", passed), step("b", passed)]);
  await pipeline.handle(request, () => Promise.resolve(answerWith(undefined)));
  assert.deepEqual(passed, ["a in", "b in", "b out", "a out"]);
});

test("it is idle once every answer has been used up, its body too, or has failed", async () => {
  const pipeline = new Pipeline([step("a", [])]);
  assert.equal(await isIdle(pipeline), true);
  await pipeline.handle(request, () => Promise.resolve(answerWith(Buffer.from("x"))));
  await assert.rejects(pipeline.handle(request, () => Promise.reject(new Error("no"))));
  assert.equal(await isIdle(pipeline), true);
  const body = new PassThrough();
  await pipeline.handle(request, () => Promise.resolve(answerWith(body)));
  assert.equal(await isIdle(pipeline), false);
  const idle = pipeline.whenIdle();
  body.destroy();
  await idle;
});
