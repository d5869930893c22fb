import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAppId, parseNamespace } from "../core/app-id.ts";
import type { CallRecord } from "../core/call-observer.ts";
import { CallStory } from "./call-story.ts";

const call: CallRecord = {
  direction: "sent",
  caller: { id: parseAppId("front"), namespace: parseNamespace("prod") },
  target: "math",
  method: "POST",
  path: "/demo.v1.Echo/Unary",
  status: 200,
  durationMs: 1.25,
  traceId: undefined,
  error: undefined,
};

function told(record: CallRecord): string {
  const lines: string[] = [];
  new CallStory({ colour: false, dated: false, write: (line) => lines.push(line) }).callEnded(record);
  return lines.join("").slice("00:00:00.000  ".length);
}

test("a call is told with its status, and one of gRPC with the name of its own", () => {
  assert.equal(told(call), "front → math  POST /demo.v1.Echo/Unary  200  1.3 ms  no trace\n");
  assert.equal(
    told({ ...call, grpcStatus: 5 }),
    "front → math  gRPC /demo.v1.Echo/Unary  NOT_FOUND  1.3 ms  no trace\n",
  );
  assert.match(told({ ...call, grpcStatus: 99 }), / {2}code 99 {2}/);
});
