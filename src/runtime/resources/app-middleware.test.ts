import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import type { Middleware } from "../../components/contract/middleware.ts";
import { CallAbort } from "../../core/call-signal.ts";
import type { RequestMessage } from "../../core/message.ts";
import type { Pipeline } from "../../invocation/pipeline.ts";
import { type ComponentSpec, readComponent } from "../../resources/component-spec.ts";
import { parseYaml } from "../../resources/yaml-file.ts";
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

function middlewareThat(init: () => Promise<void>, more: { readonly guards?: true } = {}) {
  const clock = new ManualClock();
  const closed: string[] = [];
  const warnings: string[] = [];
  const errors: string[] = [];
  const silent = (): void => undefined;
  const error = (message: string): number => errors.push(message);
  const log = { debug: silent, info: silent, error, warn: (message: string) => warnings.push(message) };
  const create = (): Middleware => ({
    init,
    handle: (request, next) => next(request),
    close: () => {
      closed.push(TYPE);
      return Promise.resolve();
    },
  });
  const entries = [{ type: TYPE, load: () => Promise.resolve({ type: TYPE, create, ...more }) }];
  const middleware = new AppMiddleware({ entries, values: new SecretValues(new Map(), {}), clock, log });
  return { middleware, clock, closed, warnings, errors };
}

function only(...middleware: readonly ComponentSpec[]) {
  return { middleware, middlewareOfOthers: [] };
}

const handler = { name: "one", type: TYPE, place: "config.yaml:7" };
const ready = (): Promise<void> => Promise.resolve();
const hanging = (): Promise<void> => new Promise(() => undefined);

async function statusFrom(pipeline: Pipeline | undefined): Promise<number | undefined> {
  const request: RequestMessage = {
    method: "GET",
    path: "/",
    query: undefined,
    headers: [],
    body: undefined,
    contentLength: undefined,
    signal: new CallAbort(),
  };
  const passed = { status: 200, statusText: "", headers: [], body: undefined };
  return (await pipeline?.handle(request, () => Promise.resolve(passed)))?.status;
}

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
    const pipeline = middleware.pipeline([handler], only(component(spec)));
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
  assert.equal(await middleware.pipeline([handler], only(component(", ignoreErrors: true"))), undefined);
  assert.deepEqual(warnings, [`Component one (${TYPE}) in c.yaml: no; it was left out, as its ignoreErrors says`]);
});

for (const [what, type, guards] of [
  ["guard", TYPE, true],
  ["middleware of a type that nobody knows, which may be one,", "middleware.http.that", undefined],
] as const) {
  test(`a ${what} that no Component stands behind stops the start; its scopes alone leave it out`, async () => {
    const { middleware, warnings } = middlewareThat(ready, guards === undefined ? {} : { guards });
    const named = { ...handler, type };
    for (const components of [only(), only(component("", "middleware.http.other"))]) {
      await assert.rejects(middleware.pipeline([named], components), {
        name: "SetupError",
        message:
          /^config\.yaml:7: the pipeline names one of type .*, and no such Component is loaded.*everybody would be let in/,
      });
    }
    assert.deepEqual(warnings, []);
    const forOthers = { middleware: [], middlewareOfOthers: [component("", type)] };
    assert.equal(await middleware.pipeline([named], forOthers), undefined);
    assert.match(
      warnings.join(),
      /^config\.yaml:7: .* which c\.yaml keeps for other apps by its scopes; it was left out$/,
    );
  });

  test(`a ${what} that cannot be used answers 500 where its ignoreErrors lets the app start, and tells the log once`, async () => {
    const broken = (): Promise<void> => Promise.reject(new Error("no"));
    const { middleware, errors } = middlewareThat(broken, guards === undefined ? {} : { guards });
    const pipeline = await middleware.pipeline([{ ...handler, type }], only(component(", ignoreErrors: true", type)));
    assert.deepEqual([await statusFrom(pipeline), await statusFrom(pipeline)], [500, 500]);
    assert.match(
      errors.join("\n"),
      /^Component one .*; its ignoreErrors lets the app start, and every request is answered 500$/,
    );
  });
}

test("any other that no Component stands behind is told and left out", async () => {
  const { middleware, warnings } = middlewareThat(ready);
  assert.equal(await middleware.pipeline([handler], only()), undefined);
  assert.match(warnings.join(), /^config\.yaml:7: .*no such Component is loaded for this app; it was left out$/);
});

test("one of a type that there is not stops the start, also where no pipeline names it", () => {
  const unknown = "middleware.http.that";
  const { middleware, warnings } = middlewareThat(ready);
  assert.throws(
    () => {
      middleware.refuseUnknown([component("", unknown)]);
    },
    {
      message: `Component one (${unknown}) in c.yaml: there is no such middleware; did you mean ${TYPE}? (there are ${TYPE})`,
    },
  );
  middleware.refuseUnknown([component(", ignoreErrors: true", unknown), component()]);
  assert.equal(warnings.length, 1);
});

test("a component that is in both pipelines is there once, and closed once", async () => {
  const { middleware, closed, clock } = middlewareThat(ready);
  const both = [
    await middleware.pipeline([handler], only(component())),
    await middleware.pipeline([handler], only(component())),
  ];
  for (const pipeline of both) assert.equal(await statusFrom(pipeline), 200);
  await middleware.close();
  await middleware.close();
  assert.deepEqual([closed, clock.sleeping], [[TYPE], 0]);
});
