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

const HTTP_APP: Command = [process.execPath, join(APPS, "node/app.mjs"), "serve"];

/** `outrigger run` with an app that speaks gRPC, asked for its health; resolves once it can be called. */
async function startGrpcApp(t: TestScope, home: string, appId: string, language: SdkLanguage): Promise<void> {
  const [program, ...args] = await sdkProgram(language);
  const flags = ["--app-protocol", "grpc", "--enable-app-health-check", "--app-health-probe-interval", "1"];
  const env = { APP_API_TOKEN: APP_TOKEN };
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

suite("Dapr's SDKs call apps through the gRPC API", () => {
  const t = suiteScope();
  let ports: ListedApp;

  before(async () => {
    const home = ownHome(t);
    await startCallee(t, { home, appId: "http-app", command: HTTP_APP });
    await startGrpcApp(t, home, "grpc-app", "go");
    ({ ports } = await startSidecar(t, home));
  });

  for (const language of SDK_LANGUAGES) {
    suite(`in ${language}`, () => {
      // By HTTP, whatever one does: only metadata and proxied calls of Java's SDK go by gRPC.
      const isHttp = language === "java";
      let steps: ReadonlyMap<string, StepResult>;

      before(async () => {
        steps = await runSteps(await sdkProgram(language), ["client"], ports, { DAPR_API_TOKEN: API_TOKEN });
      });

      function valueOf(step: string): Readonly<Record<string, unknown>> {
        const result = steps.get(step);
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
        const error = steps.get("http 404")?.error;
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

      test("a gRPC app", () => {
        const { body, ...answer } = valueOf("grpc app");
        assert.deepEqual(JSON.parse(String(body)), JSON.parse(GREETING));
        assert.deepEqual(answer, { language: "go", contentType: "application/json", verb: "POST", query: "" });
      });

      test("and are told with what status a gRPC app failed", () => {
        const error = steps.get("grpc app fails")?.error;
        if (isHttp) {
          assert.equal(error?.httpStatus, 500);
          return;
        }
        assert.equal(error?.code, 9);
        assert.equal(error.message, "the app says no");
      });

      test("that nobody knows, and are told so", () => {
        const error = steps.get("unknown app")?.error;
        if (isHttp) {
          assert.equal(error?.errorCode, "ERR_DIRECT_INVOKE");
          assert.equal(error.httpStatus, 500);
          return;
        }
        assert.equal(error?.code, 13);
        assert.match(error.message, /^failed to invoke, id: nobody, err: /);
      });

      test("and read the sidecar's metadata, which they may add to", () => {
        if (!isHttp) assert.equal(steps.get("metadata set")?.error, undefined);
        assert.deepEqual(valueOf("metadata get"), { id: "caller", ...(isHttp ? {} : { team: "blue" }) });
      });
    });
  }

  test("in python, to a gRPC app without a verb", async () => {
    const steps = await runSteps(await sdkProgram("python"), ["client"], ports, { DAPR_API_TOKEN: API_TOKEN });
    const { verb } = steps.get("grpc app, no verb")?.value as { verb: string };
    // What Go's SDK makes of a message without http_extension.
    assert.equal(verb, "");
  });

  // JavaScript's SDK takes a refusal for a sidecar that has not started yet, and asks for a minute.
  for (const language of ["go", "python", "java"] as const) {
    test(`in ${language}, and are refused without the sidecar's token`, async () => {
      const steps = await runSteps(await sdkProgram(language), ["client"], ports);
      const error = steps.get("metadata get")?.error;
      assert.equal(error?.code, 16);
      assert.equal(error.message, "Unauthorized");
    });
  }
});

for (const language of SDK_LANGUAGES) {
  suite(`an app that speaks gRPC, made with Dapr's SDK in ${language}`, () => {
    const t = suiteScope();
    let api: string;
    let ports: ListedApp;

    before(async () => {
      const home = ownHome(t);
      await startGrpcApp(t, home, "grpc-app", language);
      ({ api, ports } = await startSidecar(t, home));
    });

    function post(method: string): Promise<Response> {
      return fetch(`${api}/v1.0/invoke/grpc-app/method/${method}?a=b`, {
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
      // Python's SDK knows no other status for what a method raises, nor does JavaScript's.
      const codes = { go: 9, java: 9, python: 2, javascript: 13 };
      assert.equal(response.headers.get("grpc-status"), String(codes[language]));
      const { code, message } = (await response.json()) as { code: number; message: string };
      assert.equal(code, codes[language]);
      assert.match(message, language === "javascript" ? /internal/ : /the app says no/);
    });

    test("answers callers of the gRPC API", async () => {
      const steps = await runSteps(await sdkProgram("go"), ["client"], ports, { DAPR_API_TOKEN: API_TOKEN });
      const answer = steps.get("grpc app");
      assert.equal(answer?.error, undefined);
      assert.equal((answer?.value as { language: string }).language, language);
    });
  });
}

suite("demo.v1.Echo, which knows nothing of Dapr, is called through two sidecars", () => {
  const t = suiteScope();
  const servers = ["go", "python"] as const;
  let ports: ListedApp;

  before(async () => {
    const home = ownHome(t);
    for (const server of servers) await startGrpcApp(t, home, `echo-${server}`, server);
    ({ ports } = await startSidecar(t, home));
  });

  for (const server of servers) {
    for (const client of SDK_LANGUAGES) {
      suite(`from ${client} to ${server}`, () => {
        const appId = `echo-${server}`;
        let steps: ReadonlyMap<string, StepResult>;

        before(async () => {
          steps = await runSteps(await sdkProgram(client), ["echo-client", appId], ports, {
            DAPR_API_TOKEN: API_TOKEN,
          });
        });

        for (const step of ["unary", "unary gzip"]) {
          test(`${step}, with metadata there and back`, () => {
            const result = steps.get(step);
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
          assert.deepEqual(steps.get("server stream"), { value });
        });

        test("a stream of requests", () => {
          assert.deepEqual(steps.get("client stream"), { value: { texts: ["a", "b", "c"] } });
        });

        test("a conversation, each word as soon as it is said", () => {
          const value = ["a", "b", "c"].map((text, index) => ({ text, index }));
          assert.deepEqual(steps.get("bidi"), { value });
        });

        test("an error, with its details and trailers", () => {
          const { details, ...error } = steps.get("fail")?.error ?? { message: "it did not fail" };
          assert.deepEqual(error, { code: 9, message: "not today: grüße", trailer: "t" });
          if (client === "javascript") return;
          assert.deepEqual(details, [{ reason: "ECHO_FAILED", domain: "demo.v1", metadata: { text: "grüße" } }]);
        });

        test("a method that it does not have", () => {
          assert.equal(steps.get("unknown method")?.error?.code, 12);
        });
      });
    }
  }
});

interface EchoAnswer {
  readonly language: string;
  readonly text: string;
  readonly deadline: boolean;
  readonly metadata: Readonly<Record<string, string>>;
}

suite("grpcurl", () => {
  const t = suiteScope();
  let api: string[];
  let address: string;

  before(async () => {
    const home = ownHome(t);
    await startGrpcApp(t, home, "echo", "go");
    const { ports } = await startSidecar(t, home);
    address = `127.0.0.1:${ports.grpcPort}`;
    api = ["-H", `dapr-api-token: ${API_TOKEN}`];
  });

  test("lists the services of the API by reflection", async () => {
    const services = (await grpcurl([...api, address, "list"])).trim().split("\n");
    assert.ok(services.includes("dapr.proto.runtime.v1.Dapr"), services.join());
    assert.ok(services.includes("grpc.health.v1.Health"), services.join());
  });

  test("describes a message of the API by reflection", async () => {
    const described = await grpcurl([...api, address, "describe", "dapr.proto.runtime.v1.InvokeServiceRequest"]);
    assert.match(described, /\.dapr\.proto\.common\.v1\.InvokeRequest message = 3;/);
  });

  test("calls the API by reflection, without a .proto file", async () => {
    const dapr = "dapr.proto.runtime.v1.Dapr";
    await grpcurl([...api, "-d", '{"key":"team","value":"green"}', address, `${dapr}/SetMetadata`]);
    const metadata = JSON.parse(await grpcurl([...api, address, `${dapr}/GetMetadata`])) as Record<string, unknown>;
    assert.equal(metadata["id"], "caller");
    // The field's JSON name, which grpcurl has from reflection.
    assert.equal((metadata["extended"] as Record<string, string>)["team"], "green");
  });

  test("asks how the sidecar is", async () => {
    const health = await grpcurl([...api, address, "grpc.health.v1.Health/Check"]);
    assert.deepEqual(JSON.parse(health), { status: "SERVING" });
  });

  test("calls an app's service through the sidecar", async () => {
    const echo = [...api, "-H", "dapr-app-id: echo", "-proto", "echo.proto"];
    const answer = await grpcurl([...echo, "-d", '{"text":"a"}', address, "demo.v1.Echo/Unary"]);
    assert.equal((JSON.parse(answer) as EchoAnswer).text, "a");
    const answers = await grpcurl([...echo, "-d", '{"text":"a","count":2}', address, "demo.v1.Echo/ServerStream"]);
    assert.equal(answers.match(/"index"/g)?.length, 2);
    await assert.rejects(grpcurl([...echo, "-d", '{"text":"a"}', address, "demo.v1.Echo/Fail"]), /FailedPrecondition/);
  });
});
