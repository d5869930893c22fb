import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import { curlAnswer } from "../support/curl.ts";
import { ownPort } from "../support/own-port.ts";
import { ended, ownHome, type RunningApp, runToEnd, startBeside } from "../support/processes.ts";
import { answersUntilClosed, firstAnswers } from "../support/raw-http.ts";
import { type InTestApp, startInTestApp } from "../support/raw-http-app.ts";

/** `--dapr-public-port`: what may be read of a sidecar, and no way to call through it or to change it. */

const TRACEPARENT = "00-00000000000000000000000000000000-0000000000000000-00";

interface WithPublicPort {
  readonly port: number;
  /** `http://127.0.0.1:port` of the public port. */
  readonly open: string;
  readonly app: InTestApp;
  readonly callee: RunningApp;
}

async function startWithPublicPort(
  t: TestContext,
  options: { readonly flags?: readonly string[]; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<WithPublicPort> {
  const [port, app] = [await ownPort(), await startInTestApp(t)];
  const flags = ["--dapr-public-port", String(port), ...(options.flags ?? [])];
  const callee = await startBeside(t, "callee", app.port, { home: ownHome(t), flags, env: options.env ?? {} });
  return { port, open: `http://127.0.0.1:${port}`, app, callee };
}

suite("the public port", { concurrency: 2, timeout: 240_000 }, () => {
  test("health and metadata are answered as on the API port", async (t) => {
    const { open, callee } = await startWithPublicPort(t);
    for (const path of [
      "/v1.0/healthz",
      "/v1.0/healthz/",
      "/v1.0/healthz?appid=callee",
      "/v1.0/healthz?appid=other",
      "/v1.0/healthz/outbound",
      "/v1.0/metadata",
      "//v1.0//metadata/",
    ]) {
      const [here, there] = [await curlAnswer(`${open}${path}`), await curlAnswer(`${callee.api}${path}`)];
      const undated = (headers: Readonly<Record<string, string>>): unknown => ({ ...headers, date: "any" });
      const [answer, expected] = [here, there].map(({ headers, ...rest }) => ({ ...rest, headers: undated(headers) }));
      assert.deepEqual(answer, expected, path);
    }
    const metadata = await curlAnswer(`${open}/v1.0/metadata`);
    assert.equal(metadata.status, 200);
    assert.equal((JSON.parse(metadata.body) as { id: string }).id, "callee");
  });

  test("nothing else is there: no call reaches the app, nothing is changed, nothing ends", async (t) => {
    const { port, open, app, callee } = await startWithPublicPort(t);
    const before = (await curlAnswer(`${open}/v1.0/metadata`)).body;
    const requests: readonly string[] = [
      "GET /v1.0/invoke/callee/method/x",
      "POST /v1.0/invoke/callee/method/v1.0/healthz",
      "GET /x",
      "GET /",
      "PUT /v1.0/metadata/key",
      "PUT /v1.0/metadata",
      "POST /v1.0/metadata",
      "DELETE /v1.0/metadata",
      "POST /v1.0/healthz",
      "OPTIONS /v1.0/metadata",
      "POST /v1.0/shutdown",
      "GET /v1.0/metadata/key",
      "GET /v1.0/healthz/other",
    ];
    for (const request of requests) {
      for (const named of ["", "dapr-app-id: callee\r\n", "Authorization: Basic ZGFwci1hcHAtaWQ6Y2FsbGVl\r\n"]) {
        const text = `${request} HTTP/1.1\r\nHost: x\r\n${named}Content-Length: 4\r\n\r\nbody`;
        const [answer] = await firstAnswers(t, port, text, 1);
        assert.deepEqual([request, answer?.status, answer?.body], [request, 404, "404 page not found\n"]);
        assert.equal(answer?.headers["content-type"], "text/plain; charset=utf-8");
        assert.equal(answer.headers["x-content-type-options"], "nosniff");
        assert.equal(answer.headers["traceparent"], TRACEPARENT);
      }
    }
    assert.deepEqual(app.begun, []);
    assert.equal((await curlAnswer(`${open}/v1.0/metadata`)).body, before);
    assert.equal(callee.outrigger.hasExited, false);
  });

  test("with an API token, metadata needs it and health does not", async (t) => {
    const { open, app } = await startWithPublicPort(t, { env: { DAPR_API_TOKEN: "secret" } });
    const without = await curlAnswer(`${open}/v1.0/metadata`);
    assert.deepEqual([without.status, without.body], [401, "invalid api token\n"]);
    const wrong = await curlAnswer("--header", "dapr-api-token: wrong", `${open}/v1.0/metadata`);
    assert.equal(wrong.status, 401);
    const right = await curlAnswer("--header", "dapr-api-token: secret", `${open}/v1.0/metadata`);
    assert.equal(right.status, 200);
    for (const path of ["/v1.0/healthz", "/v1.0/healthz/outbound"]) {
      assert.equal((await curlAnswer(`${open}${path}`)).status, 204);
    }
    const call = await curlAnswer("--header", "dapr-api-token: secret", `${open}/v1.0/invoke/callee/method/x`);
    assert.equal(call.status, 404);
    assert.deepEqual(app.begun, []);
  });

  test("it is as strict as the other ports, and does not mind Expect", async (t) => {
    const { port } = await startWithPublicPort(t);
    for (const malformed of ["GET /v1.0/healthz HTTP/1.1\r\n\r\n", "GET /v1.0/healthz HTTP/1.1\r\nHost : x\r\n\r\n"]) {
      const [answer] = await answersUntilClosed(t, port, malformed);
      assert.equal(answer?.status, 400);
    }
    const expecting = "POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    const [refused] = await firstAnswers(t, port, expecting, 1);
    assert.equal(refused?.status, 404);
    const pipelined = "GET /v1.0/healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    const answers = await firstAnswers(t, port, pipelined + pipelined, 2);
    assert.deepEqual(
      answers.map(({ status }) => status),
      [204, 204],
    );
  });

  test("it is there beside Unix sockets, where the flag says, and gone at the end", async (t) => {
    const folder = ownHome(t);
    const flags = ["-u", folder, "--dapr-public-listen-address", "127.0.0.2"];
    const { port, callee } = await startWithPublicPort(t, { flags });
    assert.equal((await fetch(`http://127.0.0.2:${port}/v1.0/healthz`)).status, 204);
    await assert.rejects(fetch(`http://127.0.0.1:${port}/v1.0/healthz`));
    assert.equal(await callee.outrigger.stop(), 0);
    await assert.rejects(fetch(`http://127.0.0.2:${port}/v1.0/healthz`));
  });

  for (const other of ["--app-port", "--dapr-http-port", "--dapr-grpc-port", "--dapr-internal-grpc-port"]) {
    test(`one port for it and ${other} is refused`, async (t) => {
      const port = String(await ownPort());
      const flags = ["--dapr-public-port", port, other, port];
      const { code, stderr } = await runToEnd(t, ["run", "-a", "x", ...flags], { home: ownHome(t) });
      assert.equal(code, 1);
      const [line = "", ...more] = stderr.trimEnd().split("\n");
      assert.deepEqual(more, []);
      for (const named of ["--dapr-public-port", other, port]) assert.ok(line.includes(named), line);
    });
  }

  test("a port that is taken is named, with the flag that chooses another", async (t) => {
    const { port, callee } = await startWithPublicPort(t);
    const run = await runToEnd(t, ["run", "-a", "y", "--dapr-public-port", String(port)], { home: ownHome(t) });
    assert.equal(run.code, 1);
    const says = `cannot listen on 127\\.0\\.0\\.1:${port} for the public port of y: the port is in use; .*--dapr-public-port`;
    assert.match(run.stderr, new RegExp(`^outrigger: ${says}\n$`));
    await callee.outrigger.stop();
    await ended(callee.outrigger);
  });
});
