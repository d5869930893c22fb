import assert from "node:assert/strict";
import { test } from "node:test";
import { refuseAppCallback } from "./app-callback.ts";

const NAME = "dapr.proto.runtime.v1.AppCallback";

for (const path of [
  `/${NAME}/OnInvoke`,
  `/${NAME}HealthCheck/HealthCheck`,
  `/${NAME}Alpha/OnBulkTopicEventAlpha1`,
  `/${NAME.toLowerCase()}/oninvoke`,
  `/${NAME.toUpperCase()}/ONINVOKE`,
  `//${NAME}/OnInvoke`,
  `/x/../${NAME}/OnInvoke`,
  `/${NAME};x=1/OnInvoke`,
  `/${NAME}%2FOnInvoke`,
  `/x\\..\\${NAME}/OnInvoke`,
  "/dapr.proto.runtime.v1.%41ppCallback/OnInvoke",
  "/dapr.proto.runtime.v1.%2541ppCallback/OnInvoke",
  "/dapr.proto.runtıme.v1.AppCallback/OnInvoke",
  "/dapr.proto.runtime.v1.ＡppCallback/OnInvoke",
  `/dapr.proto.runtime.v1.%${"25".repeat(100)}41ppCallback/OnInvoke`,
]) {
  test(`${path.slice(0, 80)} is for the app's own sidecar`, () => {
    const words = / is for the app's own sidecar alone; use InvokeService to call a method$/;
    assert.throws(() => {
      refuseAppCallback(path);
    }, words);
  });
}

for (const path of [
  "/",
  "/demo.v1.Echo/Unary",
  "/do",
  "/a%20b/%C3%B6;x",
  "/appcallback",
  "/myappcallback/x%20y",
  `/docs/${NAME}`,
]) {
  test(`${path} is anybody's`, () => {
    refuseAppCallback(path);
  });
}
