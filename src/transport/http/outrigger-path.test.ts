import assert from "node:assert/strict";
import { test } from "node:test";
import { operationOf } from "./operation.ts";
import { outriggerPathOf } from "./outrigger-path.ts";

/** Outrigger's own routes, told apart by verb and path. */

const EVENTS = "/outrigger/v1/pubsub/mem/a/b%20c/events";
const TEMPLATE = "/outrigger/v1/pubsub/{pubsub}/{topic}/events";

for (const [request, operation, template] of [
  ["GET /outrigger/v1/pubsub", "GetPubSub", "/outrigger/v1/pubsub"],
  ["GET /outrigger/v1/dead-letters", "ListDeadLetterTopics", "/outrigger/v1/dead-letters"],
  ["POST /outrigger/v1/pubsub/mem/a/dry-run", "DryRunEvent", "/outrigger/v1/pubsub/{pubsub}/{topic}/dry-run"],
  [`GET ${EVENTS}`, "ListEvents", TEMPLATE],
  [`GET ${EVENTS}/17-0`, "GetEvent", `${TEMPLATE}/{id}`],
  [`DELETE ${EVENTS}/17-0`, "RemoveEvent", `${TEMPLATE}/{id}`],
  [`POST ${EVENTS}/17-0/replay`, "ReplayEvent", `${TEMPLATE}/{id}/replay`],
] as const) {
  test(`${request} is ${operation}, and no id of an event is in what it is counted under`, () => {
    const [method = "", path = ""] = request.split(" ");
    const found = outriggerPathOf(method, path);
    assert.deepEqual([found?.operation, found?.template], [operation, template]);
    assert.equal(operationOf(method, path, []), operation);
  });
}

test("the parts are as they were sent; a topic may have slashes", () => {
  const { params } = outriggerPathOf("GET", `${EVENTS}/17-0`) ?? {};
  assert.deepEqual(params, { pubsub: "mem", topic: "a/b%20c", id: "17-0" });
});

test("another verb, another path and one without a topic are none of them", () => {
  for (const [method, path] of [
    ["PUT", "/outrigger/v1/pubsub"],
    ["GET", "/outrigger/v1/pubsub/mem/events"],
    ["GET", "/v1.0/metadata"],
    ["GET", "/outrigger/v2/pubsub"],
  ] as const) {
    assert.equal(outriggerPathOf(method, path), undefined, `${method} ${path}`);
  }
});
