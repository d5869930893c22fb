import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { topicScopes } from "./scopes.ts";

function scopes(fields: Readonly<Record<string, string>>, appId = "a") {
  return topicScopes({ get: (field) => fields[field] }, appId);
}

test("without fields everything is allowed", () => {
  assert.deepEqual([scopes({}).mayPublish("t"), scopes({}).maySubscribe("t")], [true, true]);
});

test("spaces mean nothing, and publishing says nothing of subscribing", () => {
  const { mayPublish, maySubscribe } = scopes({ publishingScopes: " a = t1 , t2 ; b = t3 ; c =" });
  assert.deepEqual(["t1", "t2", "t3"].map(mayPublish), [true, true, false]);
  assert.deepEqual(["t1", "t3"].map(maySubscribe), [true, true]);
  assert.equal(scopes({ publishingScopes: "a=t1;c=" }, "c").mayPublish("t1"), false, "named without topics: nothing");
  assert.equal(scopes({ publishingScopes: "a=t1;c=" }, "d").mayPublish("t1"), true, "not named: everything");
  assert.equal(scopes({ publishingScopes: "a" }).mayPublish("t1"), true, "no list is no scope");
});

const name = fc.constantFrom("t1", "t2", "t3");
const list = fc.option(fc.uniqueArray(name, { minLength: 1 }), { nil: undefined });

test("allowed first; then what is protected needs a scope that names it; then the scope, where there is one", () => {
  const scope = fc.option(fc.uniqueArray(name), { nil: undefined });
  fc.assert(
    fc.property(list, list, scope, name, (allowed, guarded, granted, topic) => {
      const { maySubscribe } = scopes({
        ...(allowed === undefined ? {} : { allowedTopics: allowed.join(", ") }),
        ...(guarded === undefined ? {} : { protectedTopics: guarded.join(",") }),
        subscriptionScopes: `z=t1;${granted === undefined ? "" : `a=${granted.join(",")}`}`,
      });
      const inGate = allowed?.includes(topic) ?? true;
      const isOpen = granted === undefined && guarded?.includes(topic) !== true;
      assert.equal(maySubscribe(topic), inGate && (isOpen || granted?.includes(topic) === true));
    }),
  );
});
