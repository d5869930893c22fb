import assert from "node:assert/strict";
import { test } from "node:test";
import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace-base";
import type { LogFields, Logger } from "../../core/logger.ts";
import { SpanQueue } from "./span-queue.ts";

/** As OpenTelemetry declares it, without its enum. */
type Answer = (result: { readonly code: number; readonly error?: Error }) => void;

/** A collector that answers when the test says so. */
class Asked implements SpanExporter {
  readonly batches: { readonly size: number; readonly answer: Answer }[] = [];
  ended = 0;

  export(spans: ReadableSpan[], answer: Answer): void {
    this.batches.push({ size: spans.length, answer });
  }

  shutdown(): Promise<void> {
    this.ended += 1;
    return Promise.resolve();
  }
}

function queue(delayMs = 60_000): {
  readonly spans: SpanQueue;
  readonly asked: Asked;
  readonly told: (LogFields | undefined)[];
} {
  const told: (LogFields | undefined)[] = [];
  const silent = (): void => undefined;
  const log: Logger = { debug: silent, info: silent, error: silent, warn: (_, fields) => told.push(fields) };
  const asked = new Asked();
  return { spans: new SpanQueue({ exporter: asked, destination: "it", log, delayMs }), asked, told };
}

// ExportResultCode.SUCCESS and FAILED.
const SENT = { code: 0 };
const REFUSED = { code: 1, error: new Error("full") };

// The queue looks at none of it.
const SPAN = {} as ReadableSpan;

function add(spans: SpanQueue, count: number): void {
  for (let i = 0; i < count; i++) spans.add(SPAN);
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test("spans go out together: when there are enough of them, or on a flush", async () => {
  const { spans, asked, told } = queue();
  add(spans, 511);
  assert.equal(asked.batches.length, 0);
  spans.add(SPAN);
  assert.equal(asked.batches[0]?.size, 512);
  add(spans, 3);
  const flushed = spans.flush();
  asked.batches[0].answer(SENT);
  await settled();
  assert.equal(asked.batches[1]?.size, 3);
  asked.batches[1].answer(SENT);
  await flushed;
  assert.deepEqual(told, []);
});

test("a lone span goes out after the delay", async () => {
  const { spans, asked } = queue(1);
  spans.add(SPAN);
  while (asked.batches.length === 0) await settled();
  assert.equal(asked.batches[0]?.size, 1);
});

test("while a collector does not answer, a bounded number waits and the rest is lost, told once", () => {
  const { spans, asked, told } = queue();
  add(spans, 512 + 2048 + 100);
  assert.equal(asked.batches.length, 1);
  assert.deepEqual(told, [{ lost: 1, why: "more than 2048 spans wait to be sent" }]);
});

test("a batch that is refused is lost, and the next one is sent", async () => {
  const { spans, asked, told } = queue();
  add(spans, 2);
  const flushed = spans.flush();
  asked.batches[0]?.answer(REFUSED);
  await flushed;
  assert.deepEqual(told, [{ lost: 2, why: "full" }]);
  add(spans, 1);
  const again = spans.flush();
  asked.batches[1]?.answer(SENT);
  await again;
  assert.equal(told.length, 1);
});

test("an exporter that throws loses its batch and nothing else", async () => {
  const { spans, asked, told } = queue();
  asked.export = () => {
    throw new Error("broken");
  };
  spans.add(SPAN);
  await spans.flush();
  assert.deepEqual(told, [{ lost: 1, why: "broken" }]);
});

test("closed, it takes no more, says what it has not sent, and waits for nobody", async () => {
  const { spans, asked, told } = queue();
  add(spans, 4);
  await spans.close();
  await spans.close();
  spans.add(SPAN);
  await spans.flush();
  assert.deepEqual([asked.batches.length, asked.ended], [0, 1]);
  assert.deepEqual(told, [{ lost: 4, why: "the sidecar has ended" }]);
});

test("closed with nothing to send, it tells what was lost before, and why that was", async () => {
  const { spans, asked, told } = queue();
  // The first is told at once, the second is to be told in a minute.
  for (let batch = 0; batch < 2; batch++) {
    add(spans, 1);
    const flushed = spans.flush();
    asked.batches.at(-1)?.answer(REFUSED);
    await flushed;
  }
  await spans.close();
  assert.deepEqual(told, Array(2).fill({ lost: 1, why: "full" }));
});
