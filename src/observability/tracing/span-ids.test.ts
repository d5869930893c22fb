import assert from "node:assert/strict";
import { test } from "node:test";
import { SpanIds } from "./span-ids.ts";

test("ids have the lengths of W3C Trace Context, and none comes twice", () => {
  const ids = new SpanIds();
  const seen = new Set<string>();
  for (let i = 0; i < 2000; i++) {
    const [trace, span] = [ids.traceId(), ids.spanId()];
    assert.match(trace, /^[0-9a-f]{32}$/);
    assert.match(span, /^[0-9a-f]{16}$/);
    seen.add(trace).add(span);
  }
  assert.equal(seen.size, 4000);
});
