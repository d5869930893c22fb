import assert from "node:assert/strict";
import { test } from "node:test";
import type { ResponseMessage } from "../core/message.ts";
import { withHttpStatus } from "./grpc-error-status.ts";

function answerOf(code: string | undefined): ResponseMessage {
  const status = code === "0" ? 200 : 500;
  const trailers = code === undefined ? [] : ["grpc-status", code];
  return { status, statusText: "", headers: [], body: undefined, trailers: () => trailers };
}

test("fixed: an answer has the status that it came with", () => {
  for (const code of ["0", "5", "16"]) {
    const answer = answerOf(code);
    assert.equal(withHttpStatus(answer, "fixed"), answer);
  }
});

// daprd's HTTPStatusFromCode, code by code.
const MAPPED = [200, 408, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];

test("mapped: every code has its status, and what is no code is 500", () => {
  for (const [code, status] of MAPPED.entries()) {
    assert.equal(withHttpStatus(answerOf(String(code)), "mapped").status, status);
  }
  for (const code of ["17", "x", undefined]) assert.equal(withHttpStatus(answerOf(code), "mapped").status, 500);
});

test("mapped: the answer of an HTTP app is its own", () => {
  const answer: ResponseMessage = { status: 418, statusText: "", headers: ["grpc-status", "5"], body: undefined };
  assert.equal(withHttpStatus(answer, "mapped"), answer);
});
