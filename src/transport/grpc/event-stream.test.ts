import assert from "node:assert/strict";
import { test } from "node:test";
import { bulkDeliveryOf, deliveryOf, eventOf, patient } from "../../../test/support/event-apps.ts";
import { QUIET } from "../../../test/support/upstream.ts";
import { CloudEvent } from "../../pubsub/cloud-event.ts";
import { EventStream } from "./event-stream.ts";

/** What a subscriber over a stream is handed, and when. */

const PLACE = { component: "mem", topic: "orders", subscription: "orders of mem (streaming)" };

test("an event is not made into a message before the client has taken those before it", async () => {
  const stream = new EventStream(PLACE, QUIET);
  const taken: (() => void)[] = [];
  let sent = 0;
  let told = (): void => undefined;
  stream.open(() => {
    sent++;
    told();
    return new Promise((resolve) => taken.push(resolve));
  });
  const next = (): Promise<void> =>
    new Promise((resolve) => {
      told = resolve;
    });
  let begun = next();
  const receptions = ["a", "b", "c"].map((id) => stream.deliver(deliveryOf({ event: eventOf({ id }) }), patient));
  await begun;
  assert.equal(sent, 1);
  begun = next();
  taken[0]?.();
  await begun;
  assert.equal(sent, 2);
  stream.close();
  assert.deepEqual(
    (await Promise.all(receptions)).map(({ kind }) => kind),
    ["unreached", "unreached", "unreached"],
  );
});

test("an event that gRPC cannot say is a dead letter, and those behind it go on", async () => {
  const stream = new EventStream(PLACE, QUIET);
  stream.open(() => Promise.resolve());
  const huge = CloudEvent.parse(Buffer.from('{"id":"1","huge":1e999}'));
  const reception = await stream.deliver(deliveryOf({ event: huge }), patient);
  assert.ok(reception.kind === "drop" && reception.isDeadLetter);
  const good = stream.deliver(deliveryOf({ event: eventOf({ id: "2" }) }), patient);
  await new Promise(setImmediate);
  stream.answered({ id: "2" });
  assert.equal((await good).kind, "success");
});

test("a client that takes no more has had nothing", async () => {
  const stream = new EventStream(PLACE, QUIET);
  stream.open(() => Promise.reject(new Error("the caller has left")));
  const reception = await stream.deliver(deliveryOf(), patient);
  const why = "the subscriber's stream has ended";
  assert.deepEqual(reception, { kind: "unreached", why, code: undefined, isGone: true });
});

test("a batch is for no stream", async () => {
  const receptions = await new EventStream(PLACE, QUIET).deliverBulk(bulkDeliveryOf());
  assert.deepEqual(
    receptions.map(({ kind }) => kind),
    ["retry", "retry", "retry"],
  );
});
