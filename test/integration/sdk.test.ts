import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { CommunicationProtocolEnum, DaprClient, HttpMethod, LogLevel } from "@dapr/dapr";
import { buildApps, startCallee, startCaller } from "../support/apps.ts";
import { APPS, startOutrigger } from "../support/outrigger.ts";
import { ended, ownHome } from "../support/processes.ts";

const TOKEN = "a token of the caller's sidecar";

const apps = await buildApps({ after });

/** What the SDK makes of an error status: a message that is JSON. */
interface SdkError {
  readonly error: string;
  readonly error_msg: string;
  readonly status: number;
}

function clientFor(api: string, daprApiToken?: string): DaprClient {
  const { hostname, port } = new URL(api);
  return new DaprClient({
    daprHost: hostname,
    daprPort: port,
    communicationProtocol: CommunicationProtocolEnum.HTTP,
    logger: { level: LogLevel.Error },
    ...(daprApiToken === undefined ? {} : { daprApiToken }),
  });
}

async function failureOf(call: Promise<unknown>): Promise<SdkError> {
  const error: unknown = await call.then(
    () => assert.fail("the SDK took an error status for an answer"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof Error);
  return JSON.parse(error.message) as SdkError;
}

suite("Dapr's JavaScript SDK calls an app", () => {
  const cleanups: (() => unknown)[] = [];
  let api: string;
  let client: DaprClient;

  before(async () => {
    const t = { after: (fn: () => unknown) => cleanups.unshift(fn) };
    const home = ownHome(t);
    await startCallee(t, { home, appId: "callee", command: apps.serve("go") });
    ({ api } = await startCaller(t, { home, appId: "caller", env: { DAPR_API_TOKEN: TOKEN } }));
    client = clientFor(api, TOKEN);
    t.after(() => client.stop());
  });
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });

  test("with the token that its sidecar asks for", async () => {
    assert.equal((await fetch(`${api}/v1.0/invoke/callee/method/echo`)).status, 401);
    assert.ok(await client.invoker.invoke("callee", "echo", HttpMethod.GET));
  });

  for (const [method, data] of [
    [HttpMethod.GET, undefined],
    [HttpMethod.POST, { greeting: "grüße" }],
    [HttpMethod.PUT, ["a", 1, null]],
    [HttpMethod.DELETE, undefined],
  ] as const) {
    test(`with ${method.toUpperCase()}, and gets its JSON`, async () => {
      const headers = { "x-call-id": `sdk-${method}` };
      const seen = (await client.invoker.invoke("callee", "echo/a%20b?c=d", method, data, { headers })) as {
        method: string;
        path: string;
        headers: [string, string][];
        bodySha256: string;
      };
      const values = (name: string): string[] => {
        return seen.headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
      };
      const body = data === undefined ? "" : JSON.stringify(data);
      assert.equal(seen.method, method.toUpperCase());
      assert.equal(seen.path, "/echo/a%20b?c=d");
      assert.equal(seen.bodySha256, createHash("sha256").update(body).digest("hex"));
      assert.deepEqual(values("x-call-id"), [`sdk-${method}`]);
      assert.deepEqual(values("dapr-caller-app-id"), ["caller"]);
      assert.deepEqual(values("dapr-api-token"), [], "the token is between the caller and its sidecar");
    });
  }

  test("and gets a sum", async () => {
    assert.equal(await client.invoker.invoke("callee", "add", HttpMethod.POST, { arg1: 10, arg2: 23 }), 33);
  });

  test("and gets text that is not JSON as it is", async () => {
    assert.equal(await client.invoker.invoke("callee", "events?count=1", HttpMethod.GET), "data: 0\n\n");
  });

  test("and is told of an error status with what the app said", async () => {
    assert.deepEqual(await failureOf(client.invoker.invoke("callee", "status/418", HttpMethod.POST)), {
      error: "I'm a teapot",
      error_msg: '{"status":418}',
      status: 418,
    });
  });

  test("that nobody knows, and is told so", async () => {
    const { status, error_msg } = await failureOf(client.invoker.invoke("nobody", "echo", HttpMethod.GET));
    assert.equal(status, 500);
    assert.equal((JSON.parse(error_msg) as { errorCode: string }).errorCode, "ERR_DIRECT_INVOKE");
  });
});

test("an app made with the SDK finds its sidecar and its token in the environment", async (t) => {
  const home = ownHome(t);
  await startCallee(t, { home, appId: "callee", command: apps.serve("go") });
  const args = ["run", "--app-id", "caller", "--", process.execPath, join(APPS, "dapr-sdk/client.mjs")];
  const { code, stdout, stderr } = await ended(startOutrigger(t, args, { home, env: { DAPR_API_TOKEN: TOKEN } }));
  assert.match(stdout, /caller │ 10 \+ 23 = 33/, stderr);
  assert.equal(code, 0, stderr);
});

test("an app made with the SDK's DaprServer is called by the SDK's DaprClient", async (t) => {
  const home = ownHome(t);
  const command = [process.execPath, join(APPS, "dapr-sdk/server.mjs")] as const;
  await startCallee(t, { home, appId: "sdk-server", command });
  const { api } = await startCaller(t, { home, appId: "sdk-client" });
  const client = clientFor(api);
  t.after(() => client.stop());
  for (const method of [HttpMethod.GET, HttpMethod.POST, HttpMethod.PUT, HttpMethod.DELETE]) {
    const hasBody = method === HttpMethod.POST || method === HttpMethod.PUT;
    const data = hasBody ? { greeting: "grüße" } : undefined;
    const headers = { "x-call-id": `sdk-${method}` };
    assert.deepEqual(await client.invoker.invoke("sdk-server", "seen?a=b", method, data, { headers }), {
      method,
      body: JSON.stringify(data ?? {}),
      query: "/seen?a=b",
      ...(hasBody ? { contentType: "application/json" } : {}),
      callId: `sdk-${method}`,
      caller: "sdk-client",
    });
  }
});
