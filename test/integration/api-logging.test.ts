import assert from "node:assert/strict";
import { hostname } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import { callUnary, daprClient } from "../golden/grpc-client.ts";
import { listApps, type Outrigger, startOutrigger } from "../support/outrigger.ts";
import { folderWith, ownHome } from "../support/processes.ts";
import { startInTestApp } from "../support/raw-http-app.ts";
import { waitFor } from "../support/wait.ts";

/** `--enable-api-logging` and `spec.logging.apiLogging`: a line for each call of the APIs, in daprd's words. */

type Line = Readonly<Record<string, unknown>>;

function linesOf({ output }: Outrigger, message: string): readonly Line[] {
  const all = output.split("\n").filter((line) => line.startsWith("{"));
  return all.map((line) => JSON.parse(line) as Line).filter(({ msg }) => msg === message);
}

async function start(t: TestContext, flags: readonly string[], apiLogging = "") {
  const app = await startInTestApp(t);
  const spec = `apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec: {logging: {apiLogging: {${apiLogging}}}}\n`;
  const config = join(folderWith(t, { "c.yaml": spec }), "c.yaml");
  const home = ownHome(t);
  const all = ["--app-id", "app", "--app-port", String(app.port), "--log-as-json", "--config", config, ...flags];
  const outrigger = startOutrigger(t, ["run", ...all], { home });
  const api = await outrigger.readyApi("app");
  const get = async (path: string): Promise<void> => {
    await (await fetch(api + path, { headers: { "user-agent": "tester/1" } })).text();
  };
  return { outrigger, get };
}

/** The first of those lines that is of such a call. */
function logged(outrigger: Outrigger, message: string, method: RegExp): Promise<Line> {
  return waitFor(`${message} ${String(method)} in ${outrigger.output}`, () =>
    linesOf(outrigger, message).find((line) => method.test(String(line["method"]))),
  );
}

for (const [how, flags, spec] of [
  ["the flag", ["--enable-api-logging"], ""],
  ["the Configuration", [], "enabled: true"],
] as const) {
  test(`${how} asks for a line for each call, with daprd's fields`, async (t) => {
    const { get, outrigger } = await start(t, flags, spec);
    await get("/v1.0/invoke/app/method/x?secret=1");
    const { duration, time, ver, ...rest } = await logged(outrigger, "HTTP API Called", /invoke/);
    assert.deepEqual(rest, {
      ...{ app_id: "app", instance: hostname(), level: "info", msg: "HTTP API Called" },
      ...{ scope: "dapr.runtime.http-info", type: "log" },
      ...{ method: "GET /v1.0/invoke/app/method/x", useragent: "tester/1", code: 200, size: 2 },
    });
    assert.ok(Number.isInteger(duration));
    assert.ok(!Number.isNaN(Date.parse(String(time))));
    assert.match(String(ver), /^\d+\.\d+\.\d+/);
  });
}

test("paths can be left out, for the names of what was called; and health checks altogether", async (t) => {
  const { get, outrigger } = await start(t, [], "enabled: true, obfuscateURLs: true, omitHealthChecks: true");
  for (const path of ["/v1.0/healthz", "/v1.0/metadata", "/v1.0/invoke/app/method/private/7"]) await get(path);
  await logged(outrigger, "HTTP API Called", /^InvokeService\/app$/);
  const methods = linesOf(outrigger, "HTTP API Called").map(({ method }) => method);
  assert.deepEqual(methods, ["GetMetadata", "InvokeService/app"]);
});

test("health checks are calls like any, and are logged by their names too", async (t) => {
  const { outrigger } = await start(t, [], "enabled: true, obfuscateURLs: true");
  await logged(outrigger, "HTTP API Called", /^Healthz$/);
});

test("calls of the gRPC API have a line of their own", async (t) => {
  const { outrigger } = await start(t, ["--enable-api-logging"]);
  const [listed] = await listApps(outrigger.home);
  const dapr = daprClient(t, `127.0.0.1:${String(listed?.grpcPort)}`);
  await callUnary(dapr, "GetMetadata", {}, new Metadata());
  const line = await logged(outrigger, "gRPC API Called", /GetMetadata/);
  assert.deepEqual([line["app_id"], line["scope"], line["code"]], ["app", "dapr.runtime.grpc.api-info", 0]);
  assert.equal(line["method"], "/dapr.proto.runtime.v1.Dapr/GetMetadata");
  assert.match(String(line["useragent"]), /grpc-node-js/);
});

test("the flag switches off what the Configuration asks for", async (t) => {
  const { get, outrigger } = await start(t, ["--enable-api-logging=false", "--story"], "enabled: true");
  await get("/v1.0/invoke/app/method/x");
  await outrigger.waitForOutput(/call sent/);
  assert.deepEqual(linesOf(outrigger, "HTTP API Called"), []);
});

test("lines for people begin with the date where nobody watches them at a terminal", async (t) => {
  const home = ownHome(t);
  const flags = ["--app-id", "app", "--enable-api-logging", "--story"];
  const outrigger = startOutrigger(t, ["run", ...flags], { home });
  const api = await outrigger.readyApi("app");
  await (await fetch(`${api}/v1.0/invoke/nobody/method/x`)).text();
  await outrigger.waitForOutput(/^\d{4}-\d\d-\d\dT[\d:.]+Z info  app: HTTP API Called method="GET [^"]*nobody/m);
  await outrigger.waitForOutput(/^\d{4}-\d\d-\d\dT[\d:.]+Z {2}app → nobody/m);
});
