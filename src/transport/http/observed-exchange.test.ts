import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough, Readable } from "node:stream";
import { test } from "node:test";
import type { HttpApiCall } from "../../core/api-observer.ts";
import { CallAbort } from "../../core/call-signal.ts";
import type { Body } from "../../core/message.ts";
import type { HttpAnswer, HttpExchange } from "./http-exchange.ts";
import { ObservedExchange } from "./observed-exchange.ts";

type Told = Pick<HttpApiCall, "status" | "requestBytes" | "responseBytes" | "path">;

/** An exchange whose answers are taken by `take`, and what is told of it. */
function observed(method: string, take: (answer: HttpAnswer) => void = () => undefined) {
  const signal = new CallAbort();
  const told: Told[] = [];
  const inner: HttpExchange = {
    ...{ method, target: "/x?token=1", rawHeaders: [], contentLength: 7, signal, remoteAddress: undefined },
    ...{ isAnswerable: true, readBody: () => Buffer.alloc(7), streamBody: () => Readable.from([]) },
    ...{ answer: take, cut: () => undefined },
  };
  const exchange = new ObservedExchange(
    inner,
    {
      httpAnswered: ({ status, requestBytes, responseBytes, path }) =>
        void told.push({ status, requestBytes, responseBytes, path }),
      grpcAnswered: () => assert.fail("it is no call of gRPC"),
      errorAnswered: () => assert.fail("nothing went wrong"),
    },
    { now: () => 0, monotonic: () => 0, sleep: () => Promise.resolve() },
  );
  return { exchange, told, signal };
}

function answerOf(status: number, body: Body, more: Partial<HttpAnswer> = {}): HttpAnswer {
  return { status, statusText: "", headers: [], body, ...more };
}

const ANSWERS: readonly [what: string, method: string, answer: HttpAnswer, responseBytes: number][] = [
  ["bytes", "GET", answerOf(200, Buffer.from("12345")), 5],
  ["no body", "GET", answerOf(204, undefined), 0],
  ["a HEAD, whose body is not sent", "HEAD", answerOf(200, Buffer.from("12345")), 0],
  ["a 304, the same", "GET", answerOf(304, Buffer.from("12345")), 0],
  ["a switch of protocols, as it happens", "GET", answerOf(101, new PassThrough(), { upgrade: "websocket" }), 0],
];

for (const [what, method, answer, responseBytes] of ANSWERS) {
  test(`a call is told once, with what went out of it: ${what}`, () => {
    const { exchange, told } = observed(method);
    exchange.answer(answer);
    exchange.handled();
    assert.deepEqual(told, [{ status: answer.status, requestBytes: 7, responseBytes, path: "/x" }]);
  });
}

test("a stream is told when it is over, with the bytes that went out, also where it breaks", async () => {
  for (const isBroken of [false, true]) {
    const body = new PassThrough();
    const { exchange, told } = observed("GET", (answer) => (answer.body as Readable).resume());
    exchange.answer(answerOf(200, body));
    exchange.handled();
    const seen = once(body, "data");
    body.write("12345");
    await seen;
    assert.deepEqual(told, []);
    const closed = once(body, "close");
    if (isBroken) body.destroy();
    else body.end("678");
    await closed;
    assert.deepEqual(told, [{ status: 200, requestBytes: 7, responseBytes: isBroken ? 5 : 8, path: "/x" }]);
  }
});

test("an answer that comes when its caller has left is none", () => {
  const { exchange, told, signal } = observed("GET");
  signal.abort(new Error("gone"));
  exchange.answer(answerOf(200, Buffer.from("12345")));
  exchange.handled();
  assert.deepEqual(told, [{ status: 500, requestBytes: 7, responseBytes: 0, path: "/x" }]);
});

test("an answer that cannot be written is followed by another, which is told", () => {
  let tries = 0;
  const { exchange, told } = observed("GET", () => {
    if (tries++ === 0) throw new Error("a header cannot be written");
  });
  assert.throws(() => {
    exchange.answer(answerOf(200, undefined));
  });
  exchange.answer(answerOf(500, Buffer.from("1")));
  exchange.handled();
  assert.deepEqual(told, [{ status: 500, requestBytes: 7, responseBytes: 1, path: "/x" }]);
});
