import assert from "node:assert/strict";
import { test } from "node:test";
import { basicAuthTarget } from "./basic-auth-target.ts";

for (const [text, target] of [
  ["dapr-app-id:math", "math"],
  ["Dapr-App-Id:math.prod", "math.prod"],
  ["dapr-app-id:https://[::1]:8443/v2", "https://[::1]:8443/v2"],
  ["dapr-app-id:https%3A%2F%2Fa", "https%3A%2F%2Fa"],
  ["dapr-app-id:math:more", undefined],
  ["dapr-app-id", undefined],
  ["me:secret", undefined],
] as const) {
  test(`${text} as user and password names ${target ?? "nobody"}`, () => {
    const basic = `basic ${Buffer.from(text).toString("base64")}`;
    assert.equal(basicAuthTarget(["Authorization", basic]), target);
    assert.equal(basicAuthTarget(["Authorization", basic.replace("basic", "Bearer")]), undefined);
  });
}

test("without Authorization nobody is named", () => {
  assert.equal(basicAuthTarget([]), undefined);
});
