import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import grpc from "@grpc/grpc-js";
import { callUnary, daprClient, type GrpcAnswer } from "../golden/grpc-client.ts";
import { folderWith, ownHome, startBeside } from "../support/processes.ts";
import { type InTestApp, startInTestApp } from "../support/raw-http-app.ts";

/** HTTPEndpoints and URLs through `InvokeService` of the gRPC API: as over HTTP, with the answer in a message. */

interface Places {
  readonly remote: InTestApp;
  readonly invoke: (
    id: string,
    message: Record<string, unknown>,
    metadata?: Record<string, string>,
  ) => Promise<GrpcAnswer>;
}

async function start(t: TestContext, codec: "lean" | "node"): Promise<Places> {
  const remote = await startInTestApp(t, (request, response, body) => {
    if (request.url === "/v2/moved") response.writeHead(307, { location: "/v2/here" }).end();
    else if (request.url === "/v2/missing") response.writeHead(404).end("nothing here");
    else
      response.writeHead(200, { "content-type": "text/plain", "x-remote": "1" }).end(`${request.method ?? ""} ${body}`);
  });
  const endpoint = `apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata: {name: ext.api}
spec:
  baseUrl: http://127.0.0.1:${remote.port}/v2
  headers: [{name: X-Key, value: k}]
`;
  const flags = ["--resources-path", folderWith(t, { "ext.yaml": endpoint })];
  const env = { OUTRIGGER_HTTP_CODEC: codec, APP_API_TOKEN: "app-token" };
  const { listed } = await startBeside(t, "caller", undefined, { home: ownHome(t), flags, env });
  const client = daprClient(t, `127.0.0.1:${listed.grpcPort}`);
  return {
    remote,
    invoke: (id, message, metadata = {}) => {
      const request = { id, message: { http_extension: { verb: "POST" }, ...message } };
      return callUnary(client, "InvokeService", request, grpc.Metadata.fromHttp2Headers(metadata));
    },
  };
}

function dataOf({ value }: GrpcAnswer): string {
  return (value?.["data"] as { readonly value: Buffer }).value.toString();
}

function headersOf({ whole }: InTestApp): Readonly<Record<string, string>> {
  const { headers = [] } = whole.at(-1) ?? {};
  const pairs = headers.flatMap((name, at) => (at % 2 === 0 ? [[name.toLowerCase(), headers[at + 1] ?? ""]] : []));
  return Object.fromEntries(pairs) as Record<string, string>;
}

for (const codec of ["lean", "node"] as const) {
  test(`${codec}: an endpoint and a URL are called through InvokeService, with their headers and without tokens`, async (t) => {
    const { remote, invoke } = await start(t, codec);
    const message = {
      method: "things",
      data: { value: Buffer.from("{}") },
      content_type: "application/json",
      http_extension: { verb: "PUT", querystring: "x=1" },
    };
    const url = `http://127.0.0.1:${remote.port}`;
    for (const [id, line, key] of [
      ["ext.api", "PUT /v2/things?x=1", "k"],
      [url, "PUT /things?x=1", "mine"],
      [`${url}/base`, "PUT /base/things?x=1", "mine"],
      [encodeURIComponent(url), "PUT /things?x=1", "mine"],
    ] as const) {
      const answer = await invoke(id, message, { "x-key": "mine", "x-other": "o" });
      assert.deepEqual([answer.err, dataOf(answer)], [null, "PUT {}"], id);
      assert.equal(answer.value?.["content_type"], "text/plain");
      assert.equal(remote.whole.at(-1)?.line, line);
      const headers = headersOf(remote);
      assert.deepEqual([headers["x-key"], headers["x-other"]], [key, "o"]);
      assert.equal(headers["content-type"], "application/json");
      for (const secret of ["dapr-api-token", "dapr-caller-app-id"]) assert.ok(!(secret in headers), secret);
    }
  });

  test(`${codec}: a redirect is followed with its body, another status is a status, and nobody there is Internal`, async (t) => {
    const { remote, invoke } = await start(t, codec);
    const moved = await invoke("ext.api", { method: "moved", data: { value: Buffer.from("kept") } });
    assert.deepEqual([dataOf(moved), remote.whole.at(-1)?.line], ["POST kept", "POST /v2/here"]);
    const missing = await invoke("ext.api", { method: "missing" });
    assert.equal(missing.err?.code, "NOT_FOUND");
    const nobody = await invoke("http://127.0.0.1:1", { method: "x" });
    assert.equal(nobody.err?.code, "INTERNAL");
    assert.match(
      nobody.err.message,
      /failed to invoke, id: http:\/\/127\.0\.0\.1:1, err: Post "http:\/\/127\.0\.0\.1:1\/x": /,
    );
  });
}
