import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import type { Middleware, MiddlewareNext, MiddlewareRequest } from "../components/contract/middleware.ts";
import { CallAbort } from "../core/call-signal.ts";
import { CallError, OutriggerError } from "../core/errors.ts";
import type { LogFields, Logger } from "../core/logger.ts";
import type { ResponseMessage } from "../core/message.ts";
import { Pipeline } from "./pipeline.ts";

const request: MiddlewareRequest = {
  method: "GET",
  path: "/",
  query: undefined,
  headers: [],
  body: undefined,
  contentLength: 0,
  signal: new CallAbort(),
};
const ok: ResponseMessage = { status: 200, statusText: "", headers: [], body: undefined };

function step(name: string, handle: Middleware["handle"]) {
  const done = (): Promise<void> => Promise.resolve();
  return { name, middleware: { init: done, handle, close: done } };
}

const adding = (letter: string) =>
  step(letter, async (received, next) => {
    const answer = await next({ ...received, path: received.path + letter });
    return { ...answer, headers: [...answer.headers, "X-Step", letter] };
  });

class Lines implements Logger {
  readonly errors: LogFields[] = [];
  debug(): void {
    this.info();
  }
  info(): void {
    // Nobody asks for them here.
  }
  warn(): void {
    this.info();
  }
  error(_message: string, fields: LogFields = {}): void {
    this.errors.push(fields);
  }
}

const answers: MiddlewareNext = () => Promise.resolve(ok);

test("a request passes the steps in their order, its answer the other way", async () => {
  const paths: string[] = [];
  const answer = await new Pipeline([adding("a"), adding("b")], new Lines()).handle(request, ({ path }) => {
    paths.push(path);
    return Promise.resolve(ok);
  });
  assert.deepEqual(paths, ["/ab"]);
  assert.deepEqual(answer.headers, ["X-Step", "b", "X-Step", "a"]);
});

test("who answers a request keeps it from those behind", async () => {
  const shut = step("shut", () => Promise.resolve({ ...ok, status: 403 }));
  const never: MiddlewareNext = () => assert.fail("passed on");
  assert.equal((await new Pipeline([shut, adding("b")], new Lines()).handle(request, never)).status, 403);
});

test("a step that fails is named, to the caller and in the log, once", async () => {
  const log = new Lines();
  const broken = step("broken", () => Promise.reject(new Error("no such thing")));
  await assert.rejects(new Pipeline([adding("a"), broken], log).handle(request, answers), {
    name: "CallError",
    message: "the middleware broken failed: no such thing",
  });
  assert.deepEqual(
    log.errors.map(({ middleware, error }) => [middleware, error]),
    [["broken", "no such thing"]],
  );
});

test("what lies behind the pipeline fails in its own words", async () => {
  const log = new Lines();
  const failure = new CallError("Unavailable", "nobody there");
  const rejected = new Pipeline([adding("a"), adding("b")], log).handle(request, () => Promise.reject(failure));
  await assert.rejects(rejected, (error) => error === failure);
  assert.deepEqual(log.errors, []);
});

test("what a step says in the words of callers is passed on", async () => {
  const said = new OutriggerError("bodyTooLarge", "too large");
  const step_ = step("reader", () => Promise.reject(said));
  await assert.rejects(new Pipeline([step_], new Lines()).handle(request, answers), (error) => error === said);
});

test("a step that fails over an answer does not leave its body open", async () => {
  const body = new PassThrough();
  const broken = step("broken", async (received, next) => {
    await next(received);
    throw new Error("did not like it");
  });
  const rejected = new Pipeline([broken], new Lines()).handle(request, () => Promise.resolve({ ...ok, body }));
  await assert.rejects(rejected, /did not like it/);
  assert.ok(body.destroyed);
});

test("a step that passes a request on twice fails, and says so", async () => {
  let calls = 0;
  const twice = step("twice", async (received, next) => {
    await next(received);
    return next(received);
  });
  const rejected = new Pipeline([twice], new Lines()).handle(request, () => {
    calls++;
    return Promise.resolve(ok);
  });
  await assert.rejects(
    rejected,
    /the middleware twice failed: it passed a request on twice; next is to be called once/,
  );
  assert.equal(calls, 1);
});

test("that a step gives up because nobody waits any more is not told", async () => {
  const log = new Lines();
  const signal = new CallAbort();
  signal.abort(new Error("gone"));
  const gaveUp = step("gave up", () => Promise.reject(new Error("gone")));
  await assert.rejects(new Pipeline([gaveUp], log).handle({ ...request, signal }, answers));
  assert.deepEqual(log.errors, []);
});

test("it is idle once every answer has been used up, its body too, or has failed", async () => {
  const pipeline = new Pipeline([adding("a")], new Lines());
  assert.equal(await isIdle(pipeline), true);
  await pipeline.handle(request, () => Promise.resolve({ ...ok, body: Buffer.from("x") }));
  await assert.rejects(pipeline.handle(request, () => Promise.reject(new Error("no"))));
  assert.equal(await isIdle(pipeline), true);
  const body = new PassThrough();
  await pipeline.handle(request, () => Promise.resolve({ ...ok, body }));
  assert.equal(await isIdle(pipeline), false);
  const idle = pipeline.whenIdle();
  body.destroy();
  await idle;
});

async function isIdle(pipeline: Pipeline): Promise<boolean> {
  let idle = false;
  void pipeline.whenIdle().then(() => {
    idle = true;
  });
  for (let i = 0; i < 5; i++) await Promise.resolve();
  return idle;
}
