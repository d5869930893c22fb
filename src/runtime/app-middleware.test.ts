import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../test/support/manual-clock.ts";
import type { Middleware } from "../components/contract/middleware.ts";
import { CallAbort } from "../core/call-signal.ts";
import type { RequestMessage } from "../core/message.ts";
import { type ComponentSpec, readComponent } from "../resources/component-spec.ts";
import { parseYaml } from "../resources/yaml-file.ts";
import { AppMiddleware } from "./app-middleware.ts";
import { SecretValues } from "./secret-values.ts";

const TYPE = "middleware.http.it";

function component(spec = "", type = TYPE): ComponentSpec {
  const [document] = parseYaml(
    `{apiVersion: dapr.io/v1alpha1, kind: Component, metadata: {name: one}, spec: {type: ${type}${spec}}}`,
    "c.yaml",
  );
  assert.ok(document);
  return readComponent(document);
}

function middlewareThat(init: () => Promise<void>) {
  const clock = new ManualClock();
  const closed: string[] = [];
  const warnings: string[] = [];
  const silent = (): void => undefined;
  const log = { debug: silent, info: silent, error: silent, warn: (message: string) => warnings.push(message) };
  const create = (): Middleware => ({
    init,
    handle: (request, next) => next(request),
    close: () => {
      closed.push(TYPE);
      return Promise.resolve();
    },
  });
  const entries = [{ type: TYPE, load: () => Promise.resolve({ type: TYPE, create }) }];
  const middleware = new AppMiddleware({ entries, values: new SecretValues(new Map(), {}), clock, log });
  return { middleware, clock, closed, warnings };
}

const handler = { name: "one", type: TYPE, place: "config.yaml:7" };
const ready = (): Promise<void> => Promise.resolve();
const hanging = (): Promise<void> => new Promise(() => undefined);

/** Until the component is being initialised. */
async function initialising(clock: ManualClock): Promise<void> {
  while (clock.sleeping === 0) await new Promise((resolve) => setImmediate(resolve));
}

test("one that is not ready within its initTimeout stops the start, five seconds where it has none", async () => {
  for (const [spec, ms, text] of [
    ["", 5000, "5s"],
    [", initTimeout: 1500ms", 1500, "1.5s"],
  ] as const) {
    const { middleware, clock } = middlewareThat(hanging);
    const pipeline = middleware.pipeline([handler], [component(spec)]);
    await initialising(clock);
    clock.advance(ms - 1);
    assert.equal(clock.sleeping, 1);
    clock.advance(1);
    await assert.rejects(pipeline, {
      name: "SetupError",
      message: `Component one (${TYPE}) in c.yaml: it was not ready within its initTimeout, ${text}`,
    });
  }
});

test("with ignoreErrors it is told and left out", async () => {
  const { middleware, warnings } = middlewareThat(() => Promise.reject(new Error("no")));
  assert.equal(await middleware.pipeline([handler], [component(", ignoreErrors: true")]), undefined);
  assert.deepEqual(warnings, [`Component one (${TYPE}) in c.yaml: no; it was left out, as its ignoreErrors says`]);
});

test("one of a type that there is not stops the start, also where no pipeline names it", () => {
  const unknown = "middleware.http.that";
  const { middleware, warnings } = middlewareThat(ready);
  assert.throws(
    () => {
      middleware.refuseUnknown([component("", unknown)]);
    },
    { message: `Component one (${unknown}) in c.yaml: there is no such middleware; did you mean ${TYPE}? (there are ${TYPE})` },
  );
  middleware.refuseUnknown([component(", ignoreErrors: true", unknown), component()]);
  assert.equal(warnings.length, 1);
});

test("a component that is in both pipelines is there once, and closed once", async () => {
  const { middleware, closed, clock } = middlewareThat(ready);
  const both = [
    await middleware.pipeline([handler], [component()]),
    await middleware.pipeline([handler], [component()]),
  ];
  const request: RequestMessage = {
    method: "GET",
    path: "/",
    query: undefined,
    headers: [],
    body: undefined,
    contentLength: undefined,
    signal: new CallAbort(),
  };
  for (const pipeline of both) {
    const answer = await pipeline?.handle(request, () =>
      Promise.resolve({ status: 200, statusText: "", headers: [], body: undefined }),
    );
    assert.equal(answer?.status, 200);
  }
  await middleware.close();
  await middleware.close();
  assert.deepEqual([closed, clock.sleeping], [[TYPE], 0]);
});
