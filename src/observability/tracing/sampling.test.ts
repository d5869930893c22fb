import assert from "node:assert/strict";
import { test } from "node:test";
import { spanReferenceIn } from "../../core/trace-context.ts";
import { Sampling } from "./sampling.ts";

const SPAN_ID = "00f067aa0ba902b7";

function parent(flags: string) {
  return spanReferenceIn(`00-4bf92f3577b34da6a3ce929d0e0e4736-${SPAN_ID}-${flags}`);
}

function traceId(lower: string): string {
  return `4bf92f3577b34da6${lower}`;
}

test("the lower half of a trace's id decides, as in Go's SDK", () => {
  const half = new Sampling(0.5);
  assert.equal(half.isSampled(traceId("7fffffffffffffff"), undefined), true);
  assert.equal(half.isSampled(traceId("8000000000000000"), undefined), false);
  assert.equal(half.isSampled(traceId("0000000000000001"), parent("00")), true);
});

test("a rate of 1 samples everything, and one of 0 only what is below a sampled span", () => {
  const [all, none] = [new Sampling(1), new Sampling(0)];
  for (const id of [traceId("0000000000000000"), traceId("ffffffffffffffff")]) {
    assert.equal(all.isSampled(id, undefined), true);
    assert.equal(none.isSampled(id, parent("00")), false);
    assert.equal(none.isSampled(id, parent("01")), true);
    assert.equal(none.isSampled(id, parent("03")), true);
  }
});

test("the sampled flag is this span's, and the parent's other flags go on", () => {
  const sampling = new Sampling(1);
  assert.equal(sampling.flags(true, undefined), "01");
  assert.equal(sampling.flags(false, undefined), "00");
  assert.equal(sampling.flags(true, parent("02")), "03");
  assert.equal(sampling.flags(false, parent("02")), "02");
});
