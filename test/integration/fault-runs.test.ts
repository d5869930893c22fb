import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { join } from "node:path";
import { suite, type TestContext, test } from "node:test";
import grpc from "@grpc/grpc-js";
import { callUnary, daprClient } from "../golden/grpc-client.ts";
import { startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import { folderWith, ownHome, type RunningApp, startBeside, whenReady } from "../support/processes.ts";
import { beginRaw, connectRaw, frame, rawAnswer, startRawGrpcApp } from "../support/raw-grpc.ts";
import { type InTestApp, startInTestApp } from "../support/raw-http-app.ts";
import { waitFor } from "../support/wait.ts";

/** Callees that fail, on every way to one: how often each is asked is what the policy says, to the call. */

const RETRIES = `{some: {policy: constant, duration: 5ms, maxRetries: 3, matching: {httpStatusCodes: "500-599", gRPCStatusCodes: "14"}}}`;

function resources(policies: string, target: string, policy: string, port: number): string {
  return `apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: r}
spec:
  policies: ${policies}
  targets: {apps: {"${target}": ${policy}}}
---
apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata: {name: ext}
spec: {baseUrl: "http://127.0.0.1:${port}"}
`;
}

const SAFE =
  "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec: {invocation: {safeRetries: true}}\n";

interface Called {
  readonly status: number;
  readonly text: string;
}

/** One way to a callee that listens on a port: which target it has in a Resiliency document, and how it is called. */
interface Way {
  readonly name: string;
  target(port: number): string;
  start(t: TestContext, port: number, resources: string): Promise<() => Promise<Called>>;
}

async function startCaller(
  t: TestContext,
  home: string,
  yaml: string,
  options: { readonly appId?: string; readonly appPort?: number; readonly configuration?: string } = {},
): Promise<RunningApp> {
  const { appId = "caller", appPort, configuration } = options;
  const folder = folderWith(t, { "r/r.yaml": yaml, "config.yaml": configuration ?? "" });
  const config = configuration === undefined ? [] : ["--config", join(folder, "config.yaml")];
  return startBeside(t, appId, appPort, { home, flags: ["--resources-path", join(folder, "r"), ...config] });
}

function overHttp({ api }: RunningApp, target: string): () => Promise<Called> {
  return async () => {
    const response = await fetch(`${api}/v1.0/invoke/${target}/method/x`, { method: "POST", body: "a body" });
    return { status: response.status, text: await response.text() };
  };
}

const WAYS: readonly Way[] = [
  {
    name: "an app of another process",
    target: () => "callee",
    start: async (t, port, yaml) => {
      const home = ownHome(t);
      await startBeside(t, "callee", port, { home });
      return overHttp(await startCaller(t, home, yaml), "callee");
    },
  },
  {
    name: "an app of the same process",
    target: () => "callee",
    start: async (t, port, yaml) => {
      const apps = `[{appID: callee, appDirPath: ., appPort: ${port}}, {appID: caller, appDirPath: ., resourcesPath: r}]`;
      const folder = folderWith(t, {
        "r/r.yaml": yaml,
        "dapr.yaml": `version: 1\ncommon: {noDefaultPubsub: true}\napps: ${apps}\n`,
      });
      const outrigger = startOutrigger(t, ["run", "-f", join(folder, "dapr.yaml")], { home: ownHome(t) });
      await whenReady(outrigger, "callee");
      return overHttp(await whenReady(outrigger, "caller"), "callee");
    },
  },
  {
    name: "the sidecar's own app",
    target: () => "callee",
    start: async (t, port, yaml) =>
      overHttp(await startCaller(t, ownHome(t), yaml, { appId: "callee", appPort: port }), "callee"),
  },
  {
    name: "an HTTPEndpoint",
    target: () => "ext",
    start: async (t, _port, yaml) => overHttp(await startCaller(t, ownHome(t), yaml), "ext"),
  },
  {
    name: "a URL",
    target: (port) => `http://127.0.0.1:${port}`,
    start: async (t, port, yaml) => overHttp(await startCaller(t, ownHome(t), yaml), `http://127.0.0.1:${port}`),
  },
  {
    name: "an app, by InvokeService",
    target: () => "callee",
    start: async (t, port, yaml) => {
      const home = ownHome(t);
      await startBeside(t, "callee", port, { home });
      const { listed } = await startCaller(t, home, yaml);
      const client = daprClient(t, `127.0.0.1:${listed.grpcPort}`);
      const message = { method: "x", data: { value: Buffer.from("a body") }, http_extension: { verb: "POST" } };
      return async () => {
        const answer = await callUnary(client, "InvokeService", { id: "callee", message }, new grpc.Metadata());
        return { status: answer.err === null ? 200 : 503, text: answer.err?.message ?? "" };
      };
    },
  },
];

suite("policies around calls of HTTP", { concurrency: 2, timeout: 240_000 }, () => {
  for (const { name, ...way } of WAYS) {
    test(`${name}: of a callee that fails every third call nobody notices, and each failure costs one more`, async (t) => {
      let calls = 0;
      const app = await startInTestApp(t, (_request, response) => {
        response.statusCode = ++calls % 3 === 0 ? 503 : 200;
        response.end();
      });
      const yaml = resources(`{retries: ${RETRIES}}`, way.target(app.port), "{retry: some}", app.port);
      const call = await way.start(t, app.port, yaml);
      for (let i = 0; i < 6; i++) assert.equal((await call()).status, 200);
      assert.equal(calls, 8);
      assert.deepEqual(new Set(app.whole.map(({ body }) => body)), new Set(["a body"]));
    });

    test(`${name}: one that always fails is asked once and three times more, and its last answer is given out`, async (t) => {
      const app = await startInTestApp(t, (_request, response) => {
        response.statusCode = 503;
        response.end();
      });
      const yaml = resources(`{retries: ${RETRIES}}`, way.target(app.port), "{retry: some}", app.port);
      const call = await way.start(t, app.port, yaml);
      assert.deepEqual([(await call()).status, app.whole.length], [503, 4]);
    });

    test(`${name}: one that does not answer has its time for each try, and is asked again`, async (t) => {
      // The second to come is left without an answer. However slow the machine is: a try that is too late is made again.
      const app = await startInTestApp(t, (_request, response) => {
        if (app.whole.length !== 2) response.end();
      });
      const policies = `{timeouts: {short: 700ms}, retries: {patient: {duration: 5ms, maxRetries: 20}}}`;
      const yaml = resources(policies, way.target(app.port), "{retry: patient, timeout: short}", app.port);
      const call = await way.start(t, app.port, yaml);
      assert.equal((await call()).status, 200);
      assert.equal((await call()).status, 200);
      assert.ok(app.whole.length >= 3);
    });

    test(`${name}: a circuit opens among the tries, lets nothing pass, then one, and closes`, async (t) => {
      let isDown = true;
      const app = await startInTestApp(t, (_request, response) => {
        response.statusCode = isDown ? 503 : 200;
        response.end();
      });
      const breaker = "{cb: {timeout: 2s, trip: consecutiveFailures >= 3}}";
      const policies = `{circuitBreakers: ${breaker}, retries: ${RETRIES}}`;
      const yaml = resources(policies, way.target(app.port), "{retry: some, circuitBreaker: cb}", app.port);
      const call = await way.start(t, app.port, yaml);
      const first = await call();
      assert.match(first.text, /circuit breaker is open/);
      assert.equal(app.whole.length, 3);
      assert.match((await call()).text, /circuit breaker is open/);
      assert.equal(app.whole.length, 3);
      isDown = false;
      await waitFor("the circuit to let one pass", async () => (await call()).status === 200);
      assert.equal(app.whole.length, 4);
      assert.equal((await call()).status, 200);
      assert.equal(app.whole.length, 5);
    });
  }
});

/** A gRPC app that ends every third call with UNAVAILABLE, or all, and the others with their message. */
async function startFailing(t: TestContext, everyCall: boolean): Promise<{ readonly port: number; calls: number }> {
  const counted = { port: 0, calls: 0 };
  const { port } = await startRawGrpcApp(t, ({ stream }) => {
    const fails = ++counted.calls % 3 === 0 || everyCall;
    const head = { ":status": 200, "content-type": "application/grpc" };
    if (fails) {
      stream.resume();
      stream.respond({ ...head, "grpc-status": "14", "grpc-message": "not now" }, { endStream: true });
      return;
    }
    stream.respond(head, { waitForTrailers: true });
    stream.once("wantTrailers", () => {
      stream.sendTrailers({ "grpc-status": "0" });
    });
    stream.pipe(stream);
  });
  counted.port = port;
  return counted;
}

suite("policies around proxied calls of gRPC", { concurrency: 2, timeout: 240_000 }, () => {
  async function start(t: TestContext, port: number, policies: string, policy: string) {
    const home = ownHome(t);
    await startBeside(t, "callee", port, { home, flags: ["--app-protocol", "grpc"] });
    const { listed } = await startCaller(t, home, resources(policies, "callee", policy, 1));
    const session = connectRaw(t, listed.grpcPort);
    return async () => {
      const stream = beginRaw(session, "/demo.v1.Echo/Unary", { "dapr-app-id": "callee" });
      stream.end(frame("once"));
      return rawAnswer(stream);
    };
  }

  test("every third call fails: nobody notices, and each failure costs one more", async (t) => {
    const app = await startFailing(t, false);
    const call = await start(t, app.port, `{retries: ${RETRIES}}`, "{retry: some}");
    for (let i = 0; i < 6; i++) {
      const { status, body } = await call();
      assert.deepEqual([status, body], ["0", frame("once")]);
    }
    assert.equal(app.calls, 8);
  });

  test("what always fails is asked four times, and its last status is given out", async (t) => {
    const app = await startFailing(t, true);
    const call = await start(t, app.port, `{retries: ${RETRIES}}`, "{retry: some}");
    const { status, message } = await call();
    assert.deepEqual([status, message, app.calls], ["14", "not now", 4]);
  });

  test("a code that the policy does not name is given out at once", async (t) => {
    const app = await startFailing(t, true);
    const others = `{some: {duration: 5ms, maxRetries: 3, matching: {gRPCStatusCodes: "0-13,15"}}}`;
    const call = await start(t, app.port, `{retries: ${others}}`, "{retry: some}");
    assert.deepEqual([(await call()).status, app.calls], ["14", 1]);
  });

  test("a circuit that is open is UNKNOWN, as of a daprd, and nobody is asked", async (t) => {
    const app = await startFailing(t, true);
    const breaker = "{cb: {timeout: 1h, trip: consecutiveFailures >= 2}}";
    const call = await start(t, app.port, `{circuitBreakers: ${breaker}}`, "{circuitBreaker: cb}");
    const answers = [await call(), await call(), await call()];
    assert.deepEqual([answers.map(({ status }) => status), app.calls], [["14", "14", "2"], 2]);
    assert.match(answers[2]?.message ?? "", /circuit breaker is open/);
  });

  test("no answer in time is DEADLINE_EXCEEDED, and tried again where the policy says so", async (t) => {
    let calls = 0;
    const { port } = await startRawGrpcApp(t, ({ stream }) => {
      const answer = { ":status": 200, "content-type": "application/grpc", "grpc-status": "0" };
      if (++calls !== 2) stream.respond(answer, { endStream: true });
    });
    const patient = await start(
      t,
      port,
      "{timeouts: {short: 700ms}, retries: {r: {duration: 5ms, maxRetries: 20}}}",
      "{timeout: short, retry: r}",
    );
    assert.deepEqual([(await patient()).status, (await patient()).status], ["0", "0"]);
    assert.ok(calls >= 3);
    const silent = await startRawGrpcApp(t, () => undefined);
    const once = await start(t, silent.port, "{timeouts: {short: 100ms}}", "{timeout: short}");
    const { status, message } = await once();
    assert.equal(status, "4", message);
  });
});

suite("Retry-After", { concurrency: 2, timeout: 120_000 }, () => {
  async function asked(t: TestContext, after: string, retry: string) {
    const app = await startInTestApp(t, (_request, response) => {
      response.writeHead(app.whole.length === 1 ? 503 : 200, { "retry-after": after }).end();
    });
    const yaml = resources(`{retries: {some: ${retry}}}`, "ext", "{retry: some}", app.port);
    const call = overHttp(await startCaller(t, ownHome(t), yaml), "ext");
    return { status: (await call()).status, times: app.whole.length };
  }

  test("a callee that says when it wants to be asked again is asked again", async (t) => {
    assert.deepEqual(await asked(t, "1", "{duration: 5ms, maxRetries: 1}"), { status: 200, times: 2 });
  });

  test("one that wants to be left alone for longer than the policy waits is, and its answer is given out", async (t) => {
    for (const after of ["3", new Date(Date.now() + 3_600_000).toUTCString()]) {
      const seen = await asked(t, after, "{policy: exponential, maxInterval: 2s}");
      assert.deepEqual(seen, { status: 503, times: 1 }, after);
    }
  });
});

suite("safe retries", { concurrency: 2, timeout: 240_000 }, () => {
  const post = (api: string, target: string, method = "POST"): Promise<Response> =>
    fetch(`${api}/v1.0/invoke/${target}/method/x`, method === "GET" ? {} : { method, body: "x" });

  test("a POST that nobody has got is made again, and arrives once", async (t) => {
    const port = await ownPort();
    const yaml = resources("{retries: {some: {duration: 50ms}}}", "ext", "{retry: some}", port);
    const { api } = await startCaller(t, ownHome(t), yaml, { configuration: SAFE });
    const answer = post(api, "ext");
    // Until it has been refused at least once: another call to the same place has been.
    assert.equal((await post(api, `http://127.0.0.1:${port}`)).status, 500);
    const app = await startInTestApp(t, undefined, port);
    assert.equal((await answer).status, 200);
    assert.deepEqual(
      app.whole.map(({ body }) => body),
      ["x"],
    );
  });

  test("one that somebody has got is not, while a GET is", async (t) => {
    let requests = 0;
    const server = net.createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => {
        requests++;
        socket.destroy();
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => server.close());
    const { port } = server.address() as net.AddressInfo;
    const yaml = resources(`{retries: ${RETRIES}}`, "ext", "{retry: some}", port);
    const { api } = await startCaller(t, ownHome(t), yaml, { configuration: SAFE });
    assert.deepEqual([(await post(api, "ext")).status, requests], [500, 1]);
    assert.deepEqual([(await post(api, "ext", "GET")).status, requests], [500, 5]);
  });

  test("a POST to an app of another process that nobody listens for is made again: its sidecar says that nothing was sent", async (t) => {
    const home = ownHome(t);
    const port = await ownPort();
    const before = await startInTestApp(t, undefined, port);
    await startBeside(t, "callee", port, { home });
    const yaml = resources("{retries: {some: {duration: 50ms}}}", "callee", "{retry: some}", 1);
    const { api, outrigger } = await startCaller(t, home, yaml, { configuration: SAFE });
    assert.equal((await post(api, "callee")).status, 200);
    before.close();
    const refused = post(api, "callee");
    await waitFor("the app to be gone", async () => {
      const probe = net.connect(port, "127.0.0.1");
      const [failed] = await Promise.race([once(probe, "error"), once(probe, "connect").then(() => [undefined])]);
      probe.destroy();
      return failed !== undefined;
    });
    const after: InTestApp = await startInTestApp(t, undefined, port);
    assert.equal((await refused).status, 200, outrigger.output);
    assert.equal(after.whole.length, 1);
  });
});
