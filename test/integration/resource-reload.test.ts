import assert from "node:assert/strict";
import { mkdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { AUDIENCE, startOidcServer } from "../support/oidc-server.ts";
import { startOutrigger } from "../support/outrigger.ts";
import { folderWith, ownHome, startBeside, whenReady } from "../support/processes.ts";
import { startInTestApp } from "../support/raw-http-app.ts";
import { waitFor } from "../support/wait.ts";

/** Resources of a running sidecar change: it goes on with what is new, and where that is of no use with what it had. */

function endpoint(name: string, port: number, more = ""): string {
  return `apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata: {name: ${name}}
spec: {baseUrl: "http://127.0.0.1:${port}"}
${more}
---
`;
}

async function start(t: TestContext, folders: readonly string[], flags: readonly string[] = []) {
  const paths = folders.flatMap((folder) => ["--resources-path", folder]);
  const { api, outrigger } = await startBeside(t, "caller", undefined, {
    home: ownHome(t),
    flags: [...paths, ...flags],
  });
  return {
    outrigger,
    call: async (target: string) => (await fetch(`${api}/v1.0/invoke/${target}/method/x`)).status,
    endpoints: async (): Promise<string[]> => {
      const metadata = (await (await fetch(`${api}/v1.0/metadata`)).json()) as { httpEndpoints?: { name: string }[] };
      return (metadata.httpEndpoints ?? []).map(({ name }) => name);
    },
  };
}

test("an endpoint that is added, changed and removed is so for the next call, and in the metadata", async (t) => {
  const [one, two] = [await startInTestApp(t), await startInTestApp(t)];
  const folder = folderWith(t, { "one.yaml": endpoint("one", one.port) });
  const { outrigger, call, endpoints } = await start(t, [folder]);
  assert.deepEqual([await call("one"), await endpoints()], [200, ["one"]]);
  writeFileSync(join(folder, "two.yaml"), endpoint("two", one.port));
  await outrigger.waitForOutput(/resources were read again: HTTPEndpoint two added/);
  assert.deepEqual([await call("two"), await endpoints()], [200, ["one", "two"]]);
  writeFileSync(join(folder, "two.yaml"), endpoint("two", two.port));
  await outrigger.waitForOutput(/HTTPEndpoint two changed/);
  assert.deepEqual([await call("two"), two.whole.length], [200, 1]);
  unlinkSync(join(folder, "one.yaml"));
  await outrigger.waitForOutput(/HTTPEndpoint one removed/);
  assert.deepEqual([await call("one"), await endpoints()], [500, ["two"]]);
});

test("a bad edit changes nothing and is told once, with file, line and field; so is its mend", async (t) => {
  const app = await startInTestApp(t);
  const folder = folderWith(t, { "e.yaml": endpoint("ext", app.port) });
  const { outrigger, call, endpoints } = await start(t, [folder]);
  writeFileSync(join(folder, "e.yaml"), endpoint("ext", app.port).replace("baseUrl", "baseURL") + endpoint("new", 1));
  await outrigger.waitForOutput(
    /resources could not be read again, and those before stay in use: .*e\.yaml:4: unknown field "spec\.baseURL"; did you mean "baseUrl"\?/,
  );
  assert.deepEqual([await call("ext"), await endpoints()], [200, ["ext"]]);
  writeFileSync(join(folder, "e.yaml"), endpoint("ext", app.port));
  await outrigger.waitForOutput(/resources were read again: they are as they were before the mistake/);
  assert.equal(await call("ext"), 200);
  assert.equal(outrigger.output.match(/could not be read again/g)?.length, 1);
});

for (const [what, slip] of [
  ["a field", (policies: string) => policies.replace("maxRetries", "maxRetrys")],
  ["a trip expression", (policies: string) => policies.replace("consecutiveFailures > 100", "consecutiveFailures >")],
] as const) {
  test(`a Resiliency document with a slip in ${what} goes on to hold as it was`, async (t) => {
    const app = await startInTestApp(t, (_request, response) => response.writeHead(503).end());
    const policies = `apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: rules}
spec:
  policies:
    retries: {twice: {policy: constant, duration: 1ms, maxRetries: 2}}
    circuitBreakers: {cb: {maxRequests: 1, timeout: 1m, trip: consecutiveFailures > 100}}
  targets: {apps: {ext: {retry: twice, circuitBreaker: cb}}}
---
`;
    const folder = folderWith(t, { "e.yaml": endpoint("ext", app.port), "r.yaml": policies });
    const { outrigger, call } = await start(t, [folder]);
    assert.deepEqual([await call("ext"), app.whole.length], [503, 3]);
    writeFileSync(join(folder, "r.yaml"), slip(policies));
    await outrigger.waitForOutput(/Could not read resiliency policy rules.*what it said before stays in use/);
    assert.deepEqual([await call("ext"), app.whole.length], [503, 6]);
    unlinkSync(join(folder, "r.yaml"));
    await outrigger.waitForOutput(/Resiliency rules removed/);
    assert.deepEqual([await call("ext"), app.whole.length], [503, 7]);
  });
}

test("so is one whose secret is missing, which no schema sees", async (t) => {
  const app = await startInTestApp(t);
  const folder = folderWith(t, { "e.yaml": endpoint("ext", app.port) });
  const { outrigger, call } = await start(t, [folder]);
  const missing = "{name: X-Key, secretKeyRef: {name: key}}";
  writeFileSync(join(folder, "e.yaml"), endpoint("ext", app.port).replace("spec: {", `spec: {headers: [${missing}], `));
  await outrigger.waitForOutput(
    /those before stay in use: HTTPEndpoint ext in .*: no secret store is loaded|those before stay in use: .*no secret store is loaded/,
  );
  assert.equal(await call("ext"), 200);
});

test("a call that runs ends as it began", async (t) => {
  const held: ServerResponse[] = [];
  const app = await startInTestApp(t, (_request, response) => {
    response.write("one ");
    held.push(response);
  });
  const folder = folderWith(t, { "e.yaml": endpoint("ext", app.port) });
  const { outrigger } = await start(t, [folder]);
  const [, api = ""] = /(http:\/\/127\.0\.0\.1:\d+)/.exec(outrigger.output) ?? [];
  assert.notEqual(api, "");
  const response = await fetch(`${api}/v1.0/invoke/ext/method/x`);
  unlinkSync(join(folder, "e.yaml"));
  await outrigger.waitForOutput(/HTTPEndpoint ext removed/);
  held[0]?.end("two");
  assert.equal(await response.text(), "one two");
});

test("a circuit that is open stays open where its policy is the same, and begins anew where it is another", async (t) => {
  let isDown = true;
  const app = await startInTestApp(t, (_request, response) => {
    response.statusCode = isDown ? 500 : 200;
    response.end();
  });
  const policy = (trip: string): string =>
    `apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata: {name: r}\nspec: {policies: {circuitBreakers: {cb: {timeout: 1h, trip: ${trip}}}}, targets: {apps: {ext: {circuitBreaker: cb}}}}\n`;
  const folder = folderWith(t, { "e.yaml": endpoint("ext", app.port), "r.yaml": policy("consecutiveFailures >= 1") });
  const { outrigger, call } = await start(t, [folder]);
  await call("ext");
  isDown = false;
  writeFileSync(join(folder, "more.yaml"), endpoint("more", app.port));
  await outrigger.waitForOutput(/HTTPEndpoint more added/);
  assert.deepEqual([await call("ext"), app.whole.length], [500, 1]);
  writeFileSync(join(folder, "r.yaml"), policy("consecutiveFailures >= 2"));
  await outrigger.waitForOutput(/Resiliency r changed/);
  assert.deepEqual([await call("ext"), app.whole.length], [200, 2]);
});

test("folders that Kubernetes swaps by a symbolic link are read again", async (t) => {
  const app = await startInTestApp(t);
  const folder = folderWith(t, { "..1/e.yaml": endpoint("one", app.port), "..2/e.yaml": endpoint("two", app.port) });
  symlinkSync("..1", join(folder, "..data"));
  symlinkSync("..data/e.yaml", join(folder, "e.yaml"));
  const { outrigger, endpoints } = await start(t, [folder]);
  symlinkSync("..2", join(folder, "..data_tmp"));
  renameSync(join(folder, "..data_tmp"), join(folder, "..data"));
  await outrigger.waitForOutput(/HTTPEndpoint two added, HTTPEndpoint one removed/);
  assert.deepEqual(await endpoints(), ["two"]);
});

test("a folder that vanishes leaves what was in it in use, and is read again when it is back", async (t) => {
  const app = await startInTestApp(t);
  const parent = folderWith(t, { "r/e.yaml": endpoint("ext", app.port), "s/f.yaml": endpoint("other", app.port) });
  const folder = join(parent, "r");
  const { outrigger, call, endpoints } = await start(t, [folder, join(parent, "s")]);
  rmSync(folder, { recursive: true });
  await outrigger.waitForOutput(/those before stay in use: cannot read the resources path .*\/r: ENOENT/);
  assert.equal(await call("ext"), 200);
  mkdirSync(folder);
  writeFileSync(join(folder, "e.yaml"), endpoint("again", app.port));
  await outrigger.waitForOutput(/HTTPEndpoint again added, HTTPEndpoint ext removed/);
  assert.deepEqual(await endpoints(), ["again", "other"]);
  // And it is watched as before.
  writeFileSync(join(folder, "e.yaml"), endpoint("ext", app.port));
  await outrigger.waitForOutput(/HTTPEndpoint ext added, HTTPEndpoint again removed/);
});

test("the feature HotReload switches it off", async (t) => {
  const app = await startInTestApp(t);
  const folder = folderWith(t, {
    "r/e.yaml": endpoint("ext", app.port),
    "config.yaml":
      "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec: {features: [{name: HotReload, enabled: false}]}\n",
  });
  const watching = await start(t, [join(folder, "r")]);
  const { call } = await start(t, [join(folder, "r")], ["--config", join(folder, "config.yaml")]);
  unlinkSync(join(folder, "r/e.yaml"));
  // Where one has noticed, the other would have, too.
  await watching.outrigger.waitForOutput(/HTTPEndpoint ext removed/);
  assert.equal(await call("ext"), 200);
});

test("several apps of one process read a common folder, each what is for it", async (t) => {
  const app = await startInTestApp(t);
  const folder = folderWith(t, {
    "resources/e.yaml": endpoint("ext", app.port),
    "dapr.yaml":
      "version: 1\ncommon: {resourcesPath: resources}\napps: [{appID: a, appDirPath: .}, {appID: b, appDirPath: .}]\n",
  });
  const outrigger = startOutrigger(t, ["run", "-f", join(folder, "dapr.yaml")], { home: ownHome(t) });
  const [a, b] = [await whenReady(outrigger, "a"), await whenReady(outrigger, "b")];
  writeFileSync(join(folder, "resources/f.yaml"), endpoint("mine", app.port, "scopes: [b]"));
  writeFileSync(join(folder, "resources/g.yaml"), endpoint("ours", app.port));
  const statuses = async (name: string): Promise<number[]> =>
    Promise.all([a, b].map(async ({ api }) => (await fetch(`${api}/v1.0/invoke/${name}/method/x`)).status));
  await waitFor("both to have it", async () => (await statuses("ours")).every((status) => status === 200));
  assert.deepEqual(await statuses("mine"), [500, 200]);
});

function middleware(name: string, type: string, fields: Readonly<Record<string, string>>): string {
  const metadata = Object.entries(fields).map(([field, value]) => ({ name: field, value }));
  return `apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: ${name}}
spec: {type: middleware.http.${type}, version: v1, metadata: ${JSON.stringify(metadata)}}
`;
}

const MODULE = `export default ({ metadata, log }) => {
  const tag = metadata.get("tag");
  log.info("opened " + tag);
  return {
    async handle(request, next) {
      const answer = await next(request);
      return { ...answer, headers: [...answer.headers, "X-Step", tag] };
    },
    close() {
      log.info("closed " + tag);
    },
  };
};
`;

/** A sidecar whose pipelines both have one step, and what its resources folder is. */
async function startPiped(t: TestContext, step: string, appPort: number, files: Readonly<Record<string, string>>) {
  const [name = "", type = ""] = step.split(":");
  const pipeline = `{handlers: [{name: ${name}, type: middleware.http.${type}}]}`;
  const folder = folderWith(t, {
    ...Object.fromEntries(Object.entries(files).map(([file, text]) => [`r/${file}`, text])),
    "r/none.yaml": "",
    "config.yaml": `apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec: {httpPipeline: ${pipeline}, appHttpPipeline: ${pipeline}}\n`,
  });
  const flags = ["--resources-path", `${folder}/r`, "--config", `${folder}/config.yaml`];
  const { api, outrigger } = await startBeside(t, "shop", appPort, { home: ownHome(t), flags });
  return {
    outrigger,
    folder: join(folder, "r"),
    call: (headers: Record<string, string> = {}) => fetch(`${api}/v1.0/invoke/shop/method/x`, { headers }),
  };
}

test("middleware that is replaced serves the calls that it has, and is closed behind the last of them, once", async (t) => {
  const held: ServerResponse[] = [];
  const app = await startInTestApp(t, (request, response) => {
    if (request.headers["x-hold"] === undefined) response.end("ok");
    else {
      response.write("one ");
      held.push(response);
    }
  });
  const step = (tag: string): string => middleware("step", "module", { path: "step.mjs", tag });
  const files = { "step.mjs": MODULE, "step.yaml": step("first") };
  const { outrigger, folder, call } = await startPiped(t, "step:module", app.port, files);
  const running = await call({ "x-hold": "yes" });
  assert.equal(running.headers.get("x-step"), "first, first");
  writeFileSync(join(folder, "step.yaml"), step("second"));
  await outrigger.waitForOutput(/resources were read again: Component step changed/);
  const next = await call();
  assert.deepEqual([next.headers.get("x-step"), await next.text()], ["second, second", "ok"]);
  assert.doesNotMatch(outrigger.output, /closed first/);
  held[0]?.end("two");
  assert.equal(await running.text(), "one two");
  await outrigger.waitForOutput(/closed first/);
  // And at once, where nobody calls.
  writeFileSync(join(folder, "step.yaml"), step("third"));
  await outrigger.waitForOutput(/closed second/);
  writeFileSync(join(folder, "step.yaml"), step("third").replace("path", "paht"));
  await outrigger.waitForOutput(/those before stay in use: .*metadata field path is missing/);
  assert.equal((await call()).headers.get("x-step"), "third, third");
  assert.equal(await outrigger.stop(), 0);
  assert.deepEqual(
    ["opened", "closed"].map((what) => outrigger.output.match(new RegExp(`${what} \\w+`, "g"))),
    [
      ["opened first", "opened second", "opened third"],
      ["closed first", "closed second", "closed third"],
    ],
  );
});

test("a step that is added to the folder holds from the next call on, and one that is removed no more", async (t) => {
  const app = await startInTestApp(t);
  const { outrigger, folder, call } = await startPiped(t, "limit:ratelimit", app.port, {});
  const statuses = async (): Promise<number[]> => [(await call()).status, (await call()).status];
  assert.deepEqual(await statuses(), [200, 200]);
  writeFileSync(join(folder, "limit.yaml"), middleware("limit", "ratelimit", { maxRequestsPerSecond: "0.001" }));
  await outrigger.waitForOutput(/Component limit added/);
  await call();
  assert.deepEqual(await statuses(), [429, 429]);
  unlinkSync(join(folder, "limit.yaml"));
  await outrigger.waitForOutput(/Component limit removed/);
  assert.deepEqual(await statuses(), [200, 200]);
});

test("a guard that is edited guards by its new rule, and by the one before where that is of no use", async (t) => {
  const oidc = await startOidcServer(t);
  const app = await startInTestApp(t);
  const guard = (audience: string): string => middleware("guard", "bearer", { issuer: oidc.issuer, audience });
  const { outrigger, folder, call } = await startPiped(t, "guard:bearer", app.port, { "guard.yaml": guard("others") });
  const headers = { authorization: `Bearer ${await oidc.token()}` };
  const statuses = async (): Promise<number[]> => [(await call(headers)).status, (await call()).status];
  assert.deepEqual(await statuses(), [401, 401]);
  writeFileSync(join(folder, "guard.yaml"), guard(AUDIENCE));
  await outrigger.waitForOutput(/Component guard changed/);
  assert.deepEqual(await statuses(), [200, 401]);
  writeFileSync(join(folder, "guard.yaml"), guard("others").replace("audience", "audiense"));
  await outrigger.waitForOutput(/those before stay in use: .*audiense.*did you mean "?audience/);
  assert.deepEqual(await statuses(), [200, 401]);
});

test("what is wrong and keeps nothing from being loaded is told once, however often resources are read again", async (t) => {
  const app = await startInTestApp(t);
  const broken =
    "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata: {name: broken}\nspec: {policies: {circuitBreakers: {cb: {trip: nonsense}}}}\n";
  const files = { "r.yaml": broken, "e.yaml": endpoint("one", app.port) };
  const { outrigger, folder } = await startPiped(t, "limit:ratelimit", app.port, files);
  for (const name of ["two", "three"]) {
    writeFileSync(join(folder, `${name}.yaml`), endpoint(name, app.port));
    await outrigger.waitForOutput(new RegExp(`HTTPEndpoint ${name} added`));
  }
  const timesTold = (what: RegExp): number | undefined => outrigger.output.match(what)?.length;
  assert.equal(timesTold(/Could not read resiliency policy broken/g), 1);
  assert.equal(timesTold(/config\.yaml:\d+: the pipeline names limit/g), 2, "once for each of the two pipelines");
});
