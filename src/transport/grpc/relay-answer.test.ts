import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import type { ResponseMessage } from "../../core/message.ts";
import { systemClock } from "../../runtime/system-clock.ts";
import type { AnswerTrailers, HttpAnswer, HttpExchange } from "../http/http-exchange.ts";
import { GrpcCall } from "./grpc-call.ts";
import { relayAnswer } from "./relay-answer.ts";

const TYPE = ["content-type", "application/grpc"];

/** What the caller is answered. */
function relayed(response: Partial<ResponseMessage>, added: readonly string[] = []): HttpAnswer {
  const answers: HttpAnswer[] = [];
  const exchange: HttpExchange = {
    method: "POST",
    target: "/demo.v1.Echo/Unary",
    rawHeaders: [],
    contentLength: undefined,
    remoteAddress: undefined,
    signal: new AbortController().signal,
    isAnswerable: true,
    readBody: () => assert.fail("nobody reads"),
    streamBody: () => assert.fail("nobody reads"),
    answer: (answer) => answers.push(answer),
    cut: () => assert.fail("nobody cuts"),
  };
  const whole = { status: 200, statusText: "", headers: TYPE, body: undefined, ...response };
  relayAnswer(new GrpcCall(exchange, 1000, systemClock), whole, added);
  return answers[0] ?? assert.fail("nothing was answered");
}

function trailersOf({ trailers }: HttpAnswer): AnswerTrailers {
  return trailers ?? assert.fail("no trailers");
}

test("head, messages and trailers are passed on as they are", () => {
  const body = new Readable();
  const sent = ["grpc-status", "0", "x-tail", "1"];
  const answer = relayed({ headers: [...TYPE, "x", "1"], body, trailers: () => sent }, ["outrigger-from", "me"]);
  assert.deepEqual([answer.headers, answer.body], [[...TYPE, "x", "1", "outrigger-from", "me"], body]);
  assert.deepEqual(trailersOf(answer).complete(), sent);
});

test("an answer that is all trailers stays one", () => {
  const headers = [...TYPE, "grpc-status", "5"];
  const answer = relayed({ headers, trailers: () => headers });
  assert.deepEqual([answer.headers, answer.body, answer.trailers], [headers, undefined, undefined]);
});

test("an answer without a status gets one", () => {
  const { headers } = relayed({ trailers: () => [] });
  assert.deepEqual(headers.slice(2, 4), ["grpc-status", "13"]);
  const complete = trailersOf(relayed({ body: new Readable(), trailers: () => ["x", "1"] })).complete();
  assert.deepEqual(complete.slice(0, 4), ["x", "1", "grpc-status", "13"]);
});

test("one that breaks off, with its head or behind it, ends in a status", () => {
  const broken = trailersOf(relayed({ body: new Readable() })).broken(new Error("gone"));
  assert.deepEqual(broken, ["grpc-status", "14", "grpc-message", "the answer broke off: gone"]);
  const body = new Readable({ read: () => undefined });
  body.on("error", () => undefined);
  body.destroy(Object.assign(new Error("reset"), { grpcCode: "CANCELLED" }));
  assert.deepEqual(relayed({ body }).headers.slice(2, 4), ["grpc-status", "1"]);
});

test("what is not gRPC becomes a status by its HTTP status, and is not read", () => {
  const body = new Readable({ read: () => undefined });
  const { headers } = relayed({ status: 503, headers: ["content-type", "text/html"], body });
  assert.deepEqual(headers.slice(2), [
    ...["grpc-status", "14", "grpc-message"],
    'unexpected HTTP status code received from server: 503 (Service Unavailable); received unexpected content-type "text/html"',
  ]);
  assert.ok(body.destroyed);
  const bare = relayed({ headers: [] }).headers;
  assert.deepEqual(bare[3], "2");
  assert.match(bare[5] ?? "", /200 \(OK\); malformed header: missing HTTP content-type/);
});
