import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { type Command, startCallee, startCaller } from "../support/apps.ts";
import type { TestScope } from "../support/cleanup.ts";
import { APPS, type ListedApp, listApps } from "../support/outrigger.ts";
import { ownHome } from "../support/processes.ts";
import {
  grpcurl,
  runSteps,
  SDK_LANGUAGES,
  type SdkLanguage,
  type StepResult,
  sdkProgram,
} from "../support/sdk-programs.ts";

/** Clients and apps that nobody here wrote. What each step and method does: test/fixtures/sdk/README.md. */

const API_TOKEN = "a token of the caller's sidecar";
const APP_TOKEN = "a token of the app's";
const GREETING = '{"greeting":"grüße"}';

/** What speaks gRPC, by app id: AppCallback in each language, in Go and Python demo.v1.Echo beside it. */
const GRPC_APPS: Readonly<Record<SdkLanguage, string>> = {
  go: "app-in-go",
  python: "app-in-python",
  java: "app-in-java",
  javascript: "app-in-javascript",
};
/** How `fail` fails: Python's SDK knows no other status for what a method raises, nor does JavaScript's. */
const FAILURES: Readonly<Record<SdkLanguage, { readonly code: number; readonly message: RegExp }>> = {
  go: { code: 9, message: /^the app says no$/ },
  python: { code: 2, message: /the app says no/ },
  java: { code: 9, message: /^the app says no$/ },
  javascript: { code: 13, message: /internal/ },
};
const ECHO_SERVERS = ["go", "python"] as const;
type EchoServer = (typeof ECHO_SERVERS)[number];

const HTTP_APP: Command = [process.execPath, join(APPS, "node/app.mjs"), "serve"];

/** What a program printed, by step. */
type Steps = ReadonlyMap<string, StepResult>;

/** `outrigger run` with an app that speaks gRPC, asked for its health; resolves once it can be called. */
async function startGrpcApp(t: TestScope, home: string, language: SdkLanguage): Promise<void> {
  const [program, ...args] = await sdkProgram(language);
  const flags = ["--app-protocol", "grpc", "--enable-app-health-check", "--app-health-probe-interval", "1"];
  const env = { APP_API_TOKEN: APP_TOKEN };
  const appId = GRPC_APPS[language];
  const { outrigger } = await startCallee(t, { home, appId, command: [program, ...args, "app"], flags, env });
  await outrigger.waitForOutput(/the app is healthy/);
}

async function startSidecar(t: TestScope, home: string): Promise<{ readonly api: string; readonly ports: ListedApp }> {
  const env = { DAPR_API_TOKEN: API_TOKEN };
  const { api, outrigger } = await startCaller(t, { home, appId: "caller", env });
  const ports = (await listApps(home)).find((app) => app.pid === outrigger.pid);
  assert.ok(ports, "the caller is listed");
  return { api, ports };
}

/** What `before` has started, ended after the suite, the last first. */
function suiteScope(): TestScope {
  const cleanups: (() => unknown)[] = [];
  after(async () => {
    for (const cleanup of cleanups) await cleanup();
  });
  return { after: (fn) => cleanups.unshift(fn) };
}

suite("What nobody here wrote, each behind a sidecar of its own", () => {
  const t = suiteScope();
  let api: string;
  let ports: ListedApp;

  before(async () => {
    const home = ownHome(t);
    const apps = SDK_LANGUAGES.map((language) => startGrpcApp(t, home, language));
    await Promise.all([startCallee(t, { home, appId: "http-app", command: HTTP_APP }), ...apps]);
    ({ api, ports } = await startSidecar(t, home));
  });

  async function run(
    language: SdkLanguage,
    mode: readonly string[],
    env: NodeJS.ProcessEnv = { DAPR_API_TOKEN: API_TOKEN },
  ): Promise<Steps> {
    return runSteps(await sdkProgram(language), mode, ports, env);
  }

  for (const language of SDK_LANGUAGES) {
    suite(`in ${language}`, () => {
      let client: Steps;
      let stranger: Steps;
      let echo: Readonly<Record<EchoServer, Steps>>;

      before(async () => {
        const [called, refused, go, python] = await Promise.all([
          run(language, ["client", ...Object.values(GRPC_APPS)]),
          language === "javascript" ? NOTHING : run(language, ["client"], {}),
          ...ECHO_SERVERS.map((server) => run(language, ["echo-client", GRPC_APPS[server]])),
        ]);
        assert.ok(go && python);
        client = called;
        stranger = refused;
        echo = { go, python };
      });

      suite("Dapr's SDK, as a client, calls", () => {
        testSdkClient(language, () => client);
      });

      // JavaScript's SDK takes a refusal for a sidecar that has not started yet, and asks for a minute.
      if (language !== "javascript") {
        test("Dapr's SDK, as a client, is refused without the sidecar's token", () => {
          const error = stranger.get("metadata get")?.error;
          assert.equal(error?.code, 16);
          assert.equal(error.message, "Unauthorized");
        });
      }

      suite("Dapr's SDK, as an app that speaks gRPC,", () => {
        testSdkApp(language, () => api);
      });

      for (const server of ECHO_SERVERS) {
        suite(`gRPC's own client calls demo.v1.Echo in ${server}, which knows nothing of Dapr:`, () => {
          testEcho(language, server, () => echo[server]);
        });
      }
    });
  }

  suite("grpcurl", () => {
    testGrpcurl(() => ports);
  });
});

const NOTHING: Steps = new Map();

function testSdkClient(language: SdkLanguage, stepsOf: () => Steps): void {
  // By HTTP, whatever one does: only metadata and proxied calls of Java's SDK go by gRPC.
  const isHttp = language === "java";

  function valueOf(step: string): Readonly<Record<string, unknown>> {
    const result = stepsOf().get(step);
    assert.deepEqual(result?.error, undefined, step);
    return result?.value as Record<string, unknown>;
  }

  test("an HTTP app, with a body", () => {
    const { method, path, bodyBytes, headers } = valueOf("http post");
    assert.equal(method, "POST");
    assert.equal(path, "/echo/a%20b");
    // Python puts a space into its JSON.
    assert.equal(bodyBytes, Buffer.byteLength(GREETING) + (language === "python" ? 1 : 0));
    const seen = Object.fromEntries(
      (headers as [string, string][]).map(([name, value]) => [name.toLowerCase(), value]),
    );
    assert.match(seen["content-type"] ?? "", /^application\/json/);
    assert.equal(seen["dapr-caller-app-id"], "caller");
    assert.equal(seen["dapr-api-token"], undefined, "the token is between the caller and its sidecar");
  });

  test("an HTTP app, with a query", () => {
    const { method, path } = valueOf("http get");
    assert.equal(method, "GET");
    const queries = { go: "?c=d&e=f%20g", python: "?c=d&e=f+g", java: "?c=d", javascript: "" };
    assert.equal(path, `/echo${queries[language]}`);
  });

  test("and are told what status an HTTP app answered", () => {
    const error = stepsOf().get("http 404")?.error;
    if (isHttp) {
      assert.equal(error?.httpStatus, 404);
      return;
    }
    assert.equal(error?.code, 5);
    assert.equal(error.message, "Not Found");
    if (language === "javascript") return;
    const metadata = { "http.code": "404", "http.error_message": '{"status":404}' };
    assert.deepEqual(error.details, [{ reason: "Not Found", domain: "dapr.io", metadata }]);
  });

  for (const app of SDK_LANGUAGES) {
    const appId = GRPC_APPS[app];

    test(`a gRPC app in ${app}`, () => {
      const { body, language: itself, contentType, token, verb, query } = valueOf(appId);
      assert.deepEqual(JSON.parse(String(body)), JSON.parse(GREETING));
      assert.deepEqual({ itself, contentType }, { itself: app, contentType: "application/json" });
      // JavaScript's SDK shows its apps neither.
      if (app !== "javascript") assert.equal(token, APP_TOKEN);
      if (app === "go" || app === "java") assert.deepEqual({ verb, query }, { verb: "POST", query: "" });
    });

    test(`a gRPC app in ${app}, and are told with what status it failed`, () => {
      const error = stepsOf().get(`${appId} fails`)?.error;
      if (isHttp) {
        assert.equal(error?.httpStatus, 500);
        return;
      }
      assert.equal(error?.code, FAILURES[app].code);
      assert.match(error.message, FAILURES[app].message);
    });
  }

  if (language === "python") {
    test("a gRPC app, without a verb", () => {
      // What Go's SDK makes of a message without http_extension.
      assert.equal(valueOf(`${GRPC_APPS.go}, no verb`)["verb"], "");
    });
  }

  test("that nobody knows, and are told so", () => {
    const error = stepsOf().get("unknown app")?.error;
    if (isHttp) {
      assert.equal(error?.errorCode, "ERR_DIRECT_INVOKE");
      assert.equal(error.httpStatus, 500);
      return;
    }
    assert.equal(error?.code, 13);
    assert.match(error.message, /^failed to invoke, id: nobody, err: /);
  });

  test("and read the sidecar's metadata, which they may add to", () => {
    if (!isHttp) assert.equal(stepsOf().get("metadata set")?.error, undefined);
    assert.deepEqual(valueOf("metadata get"), { id: "caller", ...(isHttp ? {} : { team: "blue" }) });
  });
}

function testSdkApp(language: SdkLanguage, apiOf: () => string): void {
  function post(method: string): Promise<Response> {
    return fetch(`${apiOf()}/v1.0/invoke/${GRPC_APPS[language]}/method/${method}?a=b`, {
      method: "POST",
      headers: { "content-type": "application/json", "dapr-api-token": API_TOKEN },
      body: GREETING,
    });
  }

  test("answers callers of the HTTP API", async () => {
    const response = await post("seen");
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "application/json");
    const { body, contentType, language: itself } = (await response.json()) as Record<string, string>;
    assert.deepEqual(
      { body, contentType, itself },
      { body: GREETING, contentType: "application/json", itself: language },
    );
  });

  test("fails callers of the HTTP API with 500 and its status", async () => {
    const response = await post("fail");
    assert.equal(response.status, 500);
    const failure = FAILURES[language];
    assert.equal(response.headers.get("grpc-status"), String(failure.code));
    const { code, message } = (await response.json()) as { code: number; message: string };
    assert.equal(code, failure.code);
    assert.match(message, failure.message);
  });
}

function testEcho(client: SdkLanguage, server: EchoServer, stepsOf: () => Steps): void {
  const appId = GRPC_APPS[server];

  for (const step of ["unary", "unary gzip"]) {
    test(`${step}, with metadata there and back`, () => {
      const result = stepsOf().get(step);
      assert.deepEqual(result?.error, undefined);
      const { answer, ...metadata } = result?.value as { answer: EchoAnswer };
      assert.deepEqual(metadata, { header: "h", trailer: "t", trailerBin: "AP8=" });
      assert.equal(answer.language, server);
      assert.equal(answer.text, "grüße");
      assert.equal(answer.deadline, true);
      assert.equal(answer.metadata["x-mine"], "m");
      assert.equal(answer.metadata["x-mine-bin"], "AP8=");
      assert.equal(answer.metadata["dapr-app-id"], undefined);
      assert.equal(answer.metadata["dapr-caller-app-id"], "caller");
      assert.equal(answer.metadata["dapr-callee-app-id"], appId);
      assert.equal(answer.metadata["dapr-api-token"], APP_TOKEN);
    });
  }

  test("a stream of answers", () => {
    const value = [0, 1, 2].map((index) => ({ text: "s", index }));
    assert.deepEqual(stepsOf().get("server stream"), { value });
  });

  test("a stream of requests", () => {
    assert.deepEqual(stepsOf().get("client stream"), { value: { texts: ["a", "b", "c"] } });
  });

  test("a conversation, each word as soon as it is said", () => {
    const value = ["a", "b", "c"].map((text, index) => ({ text, index }));
    assert.deepEqual(stepsOf().get("bidi"), { value });
  });

  test("an error, with its details and trailers", () => {
    const { details, ...error } = stepsOf().get("fail")?.error ?? { message: "it did not fail" };
    assert.deepEqual(error, { code: 9, message: "not today: grüße", trailer: "t" });
    if (client === "javascript") return;
    assert.deepEqual(details, [{ reason: "ECHO_FAILED", domain: "demo.v1", metadata: { text: "grüße" } }]);
  });

  test("a deadline, which ends the call at the app too", () => {
    assert.equal(stepsOf().get("deadline")?.error?.code, 4);
    assert.deepEqual(stepsOf().get("deadline at the app"), { value: { ended: true } });
  });

  test("a method that it does not have", () => {
    assert.equal(stepsOf().get("unknown method")?.error?.code, 12);
  });
}

interface EchoAnswer {
  readonly language: string;
  readonly text: string;
  readonly deadline: boolean;
  readonly metadata: Readonly<Record<string, string>>;
}

function testGrpcurl(portsOf: () => ListedApp): void {
  const api = ["-H", `dapr-api-token: ${API_TOKEN}`];
  const addressOf = (): string => `127.0.0.1:${portsOf().grpcPort}`;

  test("lists the services of the API by reflection", async () => {
    const services = (await grpcurl([...api, addressOf(), "list"])).trim().split("\n");
    assert.ok(services.includes("dapr.proto.runtime.v1.Dapr"), services.join());
    assert.ok(services.includes("grpc.health.v1.Health"), services.join());
  });

  test("describes a message of the API by reflection", async () => {
    const described = await grpcurl([...api, addressOf(), "describe", "dapr.proto.runtime.v1.InvokeServiceRequest"]);
    assert.match(described, /\.dapr\.proto\.common\.v1\.InvokeRequest message = 3;/);
  });

  test("calls the API by reflection, without a .proto file", async () => {
    const dapr = "dapr.proto.runtime.v1.Dapr";
    await grpcurl([...api, "-d", '{"key":"team","value":"green"}', addressOf(), `${dapr}/SetMetadata`]);
    const metadata = JSON.parse(await grpcurl([...api, addressOf(), `${dapr}/GetMetadata`])) as Record<string, unknown>;
    assert.equal(metadata["id"], "caller");
    // The field's JSON name, which grpcurl has from reflection.
    assert.equal((metadata["extended"] as Record<string, string>)["team"], "green");
  });

  test("asks how the sidecar is", async () => {
    const health = await grpcurl([...api, addressOf(), "grpc.health.v1.Health/Check"]);
    assert.deepEqual(JSON.parse(health), { status: "SERVING" });
  });

  for (const [how, flags] of [
    ["by the reflection of the app", []],
    // Python's app has none.
    ["by a .proto file", ["-proto", "echo.proto"]],
  ] as const) {
    test(`calls an app's service through the sidecar, ${how}`, async () => {
      const app = flags.length === 0 ? GRPC_APPS.go : GRPC_APPS.python;
      const echo = [...api, "-H", `dapr-app-id: ${app}`, ...flags];
      const answer = await grpcurl([...echo, "-d", '{"text":"a"}', addressOf(), "demo.v1.Echo/Unary"]);
      assert.equal((JSON.parse(answer) as EchoAnswer).text, "a");
      const streamed = ["-d", '{"text":"a","count":2}', addressOf(), "demo.v1.Echo/ServerStream"];
      assert.equal((await grpcurl([...echo, ...streamed])).match(/"index"/g)?.length, 2);
      const failed = grpcurl([...echo, "-d", '{"text":"a"}', addressOf(), "demo.v1.Echo/Fail"]);
      await assert.rejects(failed, /FailedPrecondition/);
    });
  }

  test("lists and describes what an app serves, and asks for the app's health", async () => {
    const app = [...api, "-H", `dapr-app-id: ${GRPC_APPS.go}`];
    const services = (await grpcurl([...app, addressOf(), "list"])).trim().split("\n");
    assert.ok(services.includes("demo.v1.Echo"), services.join());
    assert.ok(!services.includes("dapr.proto.runtime.v1.Dapr"), services.join());
    assert.match(await grpcurl([...app, addressOf(), "describe", "demo.v1.Echo"]), /rpc Bidi/);
    // The sidecar knows no service of this name.
    const asked = ["-d", '{"service":"demo.v1.Echo"}', addressOf(), "grpc.health.v1.Health/Check"];
    assert.deepEqual(JSON.parse(await grpcurl([...app, ...asked])), { status: "SERVING" });
    await assert.rejects(grpcurl([...api, ...asked]), /NotFound/);
  });
}
