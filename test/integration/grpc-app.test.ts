import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import net from "node:net";
import { join } from "node:path";
import { after, before, suite, type TestContext, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";
import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../src/gen/google/rpc/status_pb.ts";
import { callUnary, daprClient, type GrpcAnswer } from "../golden/grpc-client.ts";
import { type HostedApp, startHost } from "../support/apps.ts";
import { makeAuthority } from "../support/certificates.ts";
import type { TestScope } from "../support/cleanup.ts";
import { type GrpcApp, type InvokeAnswer, metadataOf, type ReceivedInvoke, startGrpcApp } from "../support/grpc-app.ts";
import { listApps, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import { folderWith, ownHome, type RunningApp, startBeside } from "../support/processes.ts";
import { waitFor } from "../support/wait.ts";

/** An app that speaks gRPC, called over HTTP: from another process, from its own, and by itself. */

const MiB = 1024 * 1024;
const NO_TRACE = "00-00000000000000000000000000000000-0000000000000000-00";

/** `do` answers, `err/<code>` does not, `size/<bytes>` is long, `echo` gives back what it got. */
function onInvoke({ request, metadata }: ReceivedInvoke): InvokeAnswer {
  const [what = "", how = ""] = request.method.split("/");
  const headers = metadataOf({ "x-app-header": "h1" });
  switch (what) {
    case "err":
      throw errorOf(Number(how), "app says no", metadataOf({ "x-trailer": "t1" }));
    case "details":
      throw errorOf(5, "Kein Gerät: 100%", detailed());
    case "size":
      return { body: Buffer.alloc(Number(how), "x"), contentType: "text/plain" };
    case "binary":
      return {
        body: Buffer.from("b"),
        headers: metadataOf({ "x-app-bin": Buffer.from([0, 255]), "x-app-header": "h1" }),
      };
    case "typed":
      return { body: Buffer.from("t"), typeUrl: "type.googleapis.com/test.v1.Thing" };
    case "echo": {
      const { value: body = new Uint8Array(), typeUrl = "" } = request.data ?? {};
      return { body, typeUrl, contentType: request.contentType, headers };
    }
    case "metadata":
      return { body: Buffer.from(JSON.stringify(metadata.getMap())), contentType: "application/json" };
    default:
      return { body: Buffer.from('{"ok":true}'), contentType: "application/json", headers };
  }
}

/** As the library takes it. */
function errorOf(code: number, details: string, metadata: grpc.Metadata): Error {
  return Object.assign(new Error(details), { code, details, metadata });
}

function detailed(): grpc.Metadata {
  const info = create(ErrorInfoSchema, { reason: "GONE", domain: "test", metadata: { device: "7" } });
  const unknown = {
    $typeName: "google.protobuf.Any",
    typeUrl: "type.googleapis.com/x.Y",
    value: Buffer.from([1]),
  } as const;
  const details = [anyPack(ErrorInfoSchema, info), unknown];
  const status = create(StatusSchema, { code: 5, message: "Kein Gerät: 100%", details });
  return metadataOf({ "grpc-status-details-bin": Buffer.from(toBinary(StatusSchema, status)) });
}

interface Place {
  /** Of the caller's sidecar. */
  readonly api: string;
  readonly grpcPort: number;
  readonly app: GrpcApp;
}

const PLACES: Readonly<Record<string, (t: { after(fn: () => unknown): void }) => Promise<Place>>> = {
  "from another process": async (t) => {
    const { app, home } = await besideApp(t, []);
    const { api, listed } = await startBeside(t, "caller", undefined, { home });
    return { api, app, grpcPort: listed.grpcPort };
  },
  "from the same process": async (t) => {
    const app = await startGrpcApp(t, { onInvoke });
    const hosted: HostedApp[] = [
      { appId: "callee", serves: false, keys: { appPort: app.port, appProtocol: "grpc" } },
      { appId: "caller", serves: false },
    ];
    const host = await startHost(t, ownHome(t), hosted);
    await host.outrigger.waitForOutput(/^callee +● answers/m);
    const api = await host.api("caller");
    const listed = (await listApps(host.outrigger.home)).find(({ appId }) => appId === "caller");
    return { api, app, grpcPort: listed?.grpcPort ?? assert.fail("the caller is not listed") };
  },
  "by itself": async (t) => {
    const { app, api, listed } = await besideApp(t, []);
    return { api, app, grpcPort: listed.grpcPort };
  },
};

async function besideApp(
  t: { after(fn: () => unknown): void },
  flags: readonly string[],
): Promise<RunningApp & { readonly app: GrpcApp; readonly home: string }> {
  const app = await startGrpcApp(t, { onInvoke });
  const home = ownHome(t);
  const all = { home, flags: ["--app-protocol", "grpc", ...flags], env: { APP_API_TOKEN: "app-token" } };
  return { app, home, ...(await startBeside(t, "callee", app.port, all)) };
}

/** A message of the caller's own, packed into an Any, to `echo`, which packs it again. */
async function echoPacked(t: TestScope, grpcPort: number, typeUrl: string, value: Buffer): Promise<GrpcAnswer> {
  // As the library of the client names the field.
  const data = { type_url: typeUrl, value };
  const message = { method: "echo", data, content_type: "text/plain", http_extension: { verb: "POST" } };
  return callUnary(daprClient(t, `127.0.0.1:${grpcPort}`), "InvokeService", { id: "callee", message }, metadataOf({}));
}

const THING = "type.googleapis.com/test.v1.Thing";

for (const [place, start] of Object.entries(PLACES)) {
  suite(`a gRPC app called over HTTP ${place}`, () => {
    const cleanups: (() => unknown)[] = [];
    let api: string;
    let app: GrpcApp;
    let grpcPort: number;
    const last = (): ReceivedInvoke => app.received.at(-1) ?? assert.fail("the app was not called");
    const call = (method: string, init: RequestInit = {}): Promise<Response> =>
      fetch(`${api}/v1.0/invoke/callee/method/${method}`, init);

    before(async () => {
      ({ api, app, grpcPort } = await start({ after: (fn) => cleanups.unshift(fn) }));
    });
    after(async () => {
      for (const cleanup of cleanups) await cleanup();
    });

    test("gets a method, a body and its type, and the caller gets its answer", async () => {
      const answer = await call("do/a%20b?q=1&r=%20", {
        method: "PUT",
        body: '{"a":1}',
        headers: { "Content-Type": "application/json" },
      });
      assert.deepEqual([answer.status, await answer.text()], [200, '{"ok":true}']);
      assert.equal(answer.headers.get("content-type"), "application/json");
      assert.equal(answer.headers.get("x-app-header"), "h1");
      assert.equal(answer.headers.get("traceparent"), NO_TRACE);
      const strangers = [...answer.headers.keys()].filter((name) => /^grpc-|^dapr-|^outrigger-/.test(name));
      assert.deepEqual(strangers, []);
      const { request } = last();
      assert.equal(request.method, "do/a b");
      assert.equal(Buffer.from(request.data?.value ?? []).toString(), '{"a":1}');
      assert.equal(request.contentType, "application/json");
      assert.deepEqual([request.httpExtension?.verb, request.httpExtension?.querystring], [4, "q=1&r=%20"]);
    });

    test("GET, HEAD and bodies of every kind reach it", async () => {
      assert.equal((await call("do?x=1")).status, 200);
      assert.deepEqual([last().request.httpExtension?.verb, last().request.data?.value.length], [1, 0]);
      const head = await call("do", { method: "HEAD" });
      assert.deepEqual([head.status, await head.text()], [200, ""]);
      assert.equal(last().request.httpExtension?.verb, 2);
      const chunked = new Response("in pieces").body;
      const answer = await call("echo", { method: "POST", body: chunked, duplex: "half" });
      assert.deepEqual([answer.status, await answer.text()], [200, "in pieces"]);
      const large = Buffer.alloc(3 * MiB, "y");
      const echoed = await call("echo", { method: "POST", body: large });
      assert.ok(Buffer.from(await echoed.arrayBuffer()).equals(large));
      const long = await call(`size/${3 * MiB}`);
      assert.equal((await long.arrayBuffer()).byteLength, 3 * MiB);
    });

    test("an error is 500, with the code and the words in headers and body", async () => {
      for (const code of [1, 3, 5, 7, 13, 14, 16]) {
        const answer = await call(`err/${code}`, { method: "POST", body: "x" });
        assert.equal(answer.status, 500);
        assert.equal(answer.headers.get("content-type"), "application/json");
        assert.deepEqual(await answer.json(), { code, message: "app says no" });
        const [status, message] = ["grpc-status", "grpc-message"].map((name) => answer.headers.get(name));
        assert.deepEqual([status, message], [String(code), "app says no"]);
        assert.deepEqual([answer.headers.get("x-trailer"), answer.headers.get("traceparent")], [null, NO_TRACE]);
      }
      const head = await call("err/5", { method: "HEAD" });
      assert.deepEqual([head.status, head.headers.get("grpc-status")], [500, "5"]);
    });

    test("the details of an error are in the body, known types as JSON", async () => {
      const answer = await call("details");
      assert.equal(answer.headers.get("grpc-message"), "Kein Ger%C3%A4t: 100%25");
      assert.deepEqual(await answer.json(), {
        code: 5,
        message: "Kein Gerät: 100%",
        details: [
          {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            reason: "GONE",
            domain: "test",
            metadata: { device: "7" },
          },
          { "@type": "type.googleapis.com/x.Y", value: "AQ==" },
        ],
      });
    });

    test("headers become metadata, and what cannot be stays behind", async () => {
      const headers = {
        "X-Mine": "m",
        "X-B-Bin": "enp6",
        "X-Bad-Bin": "%%",
        "X-Latin": "\u00e9",
        "X'Odd": "1",
        "Grpc-Status": "7",
        Cookie: "a=b",
        Accept: "text/html",
        "User-Agent": "me",
        Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
      };
      assert.equal((await call("do", { method: "POST", body: "abc", headers })).status, 200);
      const { metadata, hasDeadline } = last();
      const one = (name: string): unknown => metadata.get(name)[0];
      assert.deepEqual([one("x-mine"), one("x-b-bin")], ["m", Buffer.from("zzz")]);
      assert.deepEqual([one("dapr-cookie"), one("dapr-accept"), one("dapr-content-length")], ["a=b", "text/html", "3"]);
      for (const name of ["x-bad-bin", "x-latin", "cookie", "grpc-status", "content-length"]) {
        assert.equal(one(name), undefined, name);
      }
      assert.match(String(one("user-agent")), /^outrigger/);
      assert.equal(one("traceparent"), headers.Traceparent);
      const trace = one("grpc-trace-bin") as Buffer;
      assert.equal(trace.toString("hex"), "00004bf92f3577b34da6a3ce929d0e0e47360100f067aa0ba902b70201");
      assert.equal(hasDeadline, false);
    });

    test("metadata that is bytes stays behind on the way back, a message of the app's own has a type", async () => {
      const answer = await call("binary");
      assert.deepEqual([answer.headers.get("x-app-header"), answer.headers.get("x-app-bin")], ["h1", null]);
      assert.equal((await call("typed")).headers.get("content-type"), "application/x-protobuf");
    });

    test("a message that a gRPC caller has packed is the same Any for the app, and for the caller in its answer", async (t) => {
      const { err, value } = await echoPacked(t, grpcPort, THING, Buffer.from("packed"));
      assert.equal(err, null);
      assert.deepEqual(value?.["data"], { type_url: THING, value: Buffer.from("packed") });
      const { data, contentType } = last().request;
      assert.deepEqual([data?.typeUrl, Buffer.from(data?.value ?? []).toString()], [THING, "packed"]);
      assert.equal(contentType, "application/x-protobuf");
      const names = Object.keys(last().metadata.getMap());
      assert.deepEqual(
        names.filter((name) => name.startsWith("outrigger-")),
        [],
      );
      const plain = await echoPacked(t, grpcPort, "", Buffer.from("plain"));
      assert.deepEqual(plain.value?.["data"], { value: Buffer.from("plain") });
      assert.deepEqual([last().request.data?.typeUrl, last().request.contentType], ["", "text/plain"]);
    });

    test("a hundred calls at once each get their own answer", async () => {
      const calls = Array.from({ length: 100 }, async (_, index) => {
        const answer = await call("echo", { method: "POST", body: `call ${index}` });
        return answer.text();
      });
      assert.deepEqual(
        await Promise.all(calls),
        Array.from({ length: 100 }, (_, index) => `call ${index}`),
      );
    });
  });
}

test("grpcErrorStatus mapped: an error has the status that daprd gives its code, for the caller and in the log", async (t) => {
  const { home } = await besideApp(t, []);
  const config = configuration(t, "grpcErrorStatus: mapped");
  const { api, outrigger } = await startBeside(t, "caller", undefined, { home, flags: ["--config", config] });
  const mapped = [200, 408, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];
  for (const [code, status] of mapped.entries()) {
    if (code === 0) continue;
    const answer = await fetch(`${api}/v1.0/invoke/callee/method/err/${code}`);
    assert.deepEqual([answer.status, answer.headers.get("grpc-status")], [status, String(code)]);
    assert.deepEqual(await answer.json(), { code, message: "app says no" });
  }
  assert.equal((await fetch(`${api}/v1.0/invoke/callee/method/do`)).status, 200);
  await outrigger.waitForOutput(/err\/5 +404|404.*err\/5/);
});

test("an Any crosses in daprd's form too, which a caller speaks that knows an address alone, and in one message or many", async (t) => {
  const { app, listed } = await besideApp(t, []);
  const table = { component: "static", configuration: { callee: `127.0.0.1:${listed.internalPort}` } };
  const config = configurationOf(t, `nameResolution: ${JSON.stringify(table)}`);
  for (const bytes of [6, 300_000]) {
    // Each first call of a caller; the next one would go over the lean hop.
    const { listed: caller } = await startBeside(t, "caller", undefined, {
      home: ownHome(t),
      flags: ["--config", config],
    });
    for (const typeUrl of [THING, THING, ""]) {
      const { err, value } = await echoPacked(t, caller.grpcPort, typeUrl, Buffer.alloc(bytes, "x"));
      assert.equal(err, null);
      const type = typeUrl === "" ? {} : { type_url: typeUrl };
      assert.deepEqual(value?.["data"], { ...type, value: Buffer.alloc(bytes, "x") });
      assert.equal(app.received.at(-1)?.request.data?.typeUrl, typeUrl);
    }
  }
});

test("an HTTP app gets what a gRPC caller has packed as protobuf", async (t) => {
  const home = ownHome(t);
  const seen: http.IncomingHttpHeaders[] = [];
  const port = await listening(
    t,
    http.createServer((request, response) => {
      seen.push(request.headers);
      request.pipe(response);
    }),
  );
  const { listed } = await startBeside(t, "callee", port, { home });
  const caller = await startBeside(t, "caller", undefined, { home });
  for (const { grpcPort } of [listed, caller.listed]) {
    const { value } = await echoPacked(t, grpcPort, THING, Buffer.from("packed"));
    assert.deepEqual(value?.["data"], { value: Buffer.from("packed") });
    assert.equal(seen.at(-1)?.["content-type"], "application/x-protobuf");
    assert.equal(seen.at(-1)?.["outrigger-data-type"], undefined);
  }
});

test("an unknown grpcErrorStatus stops the start", async (t) => {
  const flags = ["--config", configuration(t, "grpcErrorStatus: sometimes")];
  const outrigger = startOutrigger(t, ["run", "--app-id", "caller", ...flags], { home: ownHome(t) });
  assert.equal(await outrigger.exited(), 1);
  assert.match(outrigger.output, /c\.yaml:5: spec\.invocation\.grpcErrorStatus.*"fixed"\|"mapped"/);
});

test("the app is told the token of its own sidecar, and no other", async (t) => {
  const { app, home, api } = await besideApp(t, []);
  const caller = await startBeside(t, "caller", undefined, { home });
  for (const from of [api, caller.api]) {
    const headers = { "dapr-api-token": "stolen" };
    assert.equal((await fetch(`${from}/v1.0/invoke/callee/method/do`, { headers })).status, 200);
    assert.deepEqual(app.received.at(-1)?.metadata.get("dapr-api-token"), ["app-token"]);
  }
});

test("a body over the limit is refused, and so is an answer over it", async (t) => {
  const { app, api } = await besideApp(t, ["--max-body-size", "1Mi"]);
  const url = `${api}/v1.0/invoke/callee/method`;
  const tooLarge = Buffer.alloc(MiB + 1);
  assert.equal((await fetch(`${url}/echo`, { method: "POST", body: tooLarge })).status, 413);
  const body = new Response(tooLarge).body;
  const chunked = await fetch(`${url}/echo`, { method: "POST", body, duplex: "half" });
  assert.equal(chunked.status, 500);
  assert.match(await chunked.text(), /stream too large/);
  assert.equal(app.received.length, 0);
  const answer = await fetch(`${url}/size/${MiB + 1}`);
  assert.equal(answer.status, 500);
  assert.match(await answer.text(), /"code":8,"message":"grpc: received message larger than max/);
});

test("health is asked over gRPC, and decides whether the app gets calls", async (t) => {
  let isWell = false;
  const asked: grpc.Metadata[] = [];
  const healthCheck = (metadata: grpc.Metadata): void => {
    asked.push(metadata);
    if (!isWell) throw errorOf(14, "warming up", new grpc.Metadata());
  };
  const app = await startGrpcApp(t, { onInvoke, healthCheck });
  const flags = ["--app-protocol", "grpc", "--enable-app-health-check", "--app-health-probe-interval", "1"];
  const all = [...flags, "--app-health-threshold", "1"];
  const { api, outrigger } = await startBeside(t, "callee", app.port, {
    home: ownHome(t),
    flags: all,
    env: { APP_API_TOKEN: "app-token" },
  });
  await outrigger.waitForOutput(/HealthCheck: UNAVAILABLE: warming up/);
  const refused = await fetch(`${api}/v1.0/invoke/callee/method/do`);
  assert.match(await refused.text(), /app is not in a healthy state/);
  isWell = true;
  await outrigger.waitForOutput(/the app is healthy/);
  assert.equal((await fetch(`${api}/v1.0/invoke/callee/method/do`)).status, 200);
  assert.deepEqual(asked.at(0)?.get("dapr-api-token"), ["app-token"]);
});

test("an app without a health check is not well, and the log says what to do", async (t) => {
  const app = await startGrpcApp(t, { onInvoke });
  const flags = ["--app-protocol", "grpc", "--enable-app-health-check", "--app-health-probe-interval", "1"];
  const { outrigger } = await startBeside(t, "callee", app.port, {
    home: ownHome(t),
    flags: [...flags, "--app-health-threshold", "1"],
  });
  await outrigger.waitForOutput(
    /no such method \(UNIMPLEMENTED\); let it answer that, or leave out --enable-app-health-check/,
  );
});

test("grpcs: any certificate will do, unless appTLS says whose it must be", async (t) => {
  const [ours, stranger] = [makeAuthority(t), makeAuthority(t)];
  const { key, cert } = ours.issue("app", "DNS:app.test");
  const pair = { private_key: Buffer.from(key), cert_chain: Buffer.from(cert) };
  const app = await startGrpcApp(t, { onInvoke, credentials: grpc.ServerCredentials.createSsl(null, [pair]) });
  const trusting = (caFile: string): string => `appTLS: {caFile: ${caFile}, serverName: app.test}`;
  for (const [invocation, status] of [
    ["preservePath: false", 200],
    [trusting(ours.caFile), 200],
    [trusting(stranger.caFile), 500],
  ] as const) {
    const flags = ["--app-protocol", "grpcs", "--config", configuration(t, invocation)];
    const { api } = await startBeside(t, "callee", app.port, { home: ownHome(t), flags });
    const answer = await fetch(`${api}/v1.0/invoke/callee/method/do`);
    const text = await answer.text();
    assert.equal(answer.status, status, text);
    if (status === 500) assert.match(text, /its certificate is refused.*spec\.invocation\.appTLS/);
  }
});

test("an app that speaks something else: the error says what was expected and what to give", async (t) => {
  const http1 = await startHttp(t);
  const h2c = await startHttp2(t);
  const plain = (await startGrpcApp(t, { onInvoke })).port;
  const { key, cert } = makeAuthority(t).issue("app", "DNS:app.test");
  const pair = { private_key: Buffer.from(key), cert_chain: Buffer.from(cert) };
  const overTls = (await startGrpcApp(t, { onInvoke, credentials: grpc.ServerCredentials.createSsl(null, [pair]) }))
    .port;
  const https1 = await startHttp(t, { key, cert });
  const advice = /it was spoken to in .*as --app-protocol \w+ says; if .* give that: http, https, h2c, grpc or grpcs/;
  for (const [protocol, port, expected] of [
    ["grpc", http1, advice],
    ["grpcs", http1, advice],
    ["grpcs", https1, advice],
    ["grpc", overTls, advice],
    ["grpcs", plain, advice],
    ["http", plain, advice],
    ["https", overTls, advice],
    ["https", plain, advice],
    [
      "grpc",
      h2c,
      /"code":12,"message":"unexpected HTTP status code received from server: 404 \(Not Found\); received unexpected content-type \\"text\/plain/,
    ],
  ] as const) {
    const { api } = await startBeside(t, "callee", port, { home: ownHome(t), flags: ["--app-protocol", protocol] });
    const answer = await fetch(`${api}/v1.0/invoke/callee/method/do`);
    assert.equal(answer.status, 500);
    assert.match(await answer.text(), expected, `${protocol}, ${port}`);
  }
});

test("an app that has no OnInvoke says so", async (t) => {
  const app = await startGrpcApp(t, { healthCheck: () => undefined });
  const { api } = await startBeside(t, "callee", app.port, { home: ownHome(t), flags: ["--app-protocol", "grpc"] });
  const answer = await fetch(`${api}/v1.0/invoke/callee/method/do`);
  assert.deepEqual([answer.status, answer.headers.get("grpc-status")], [500, "12"]);
});

test("an app that dies within a call: its caller is told, and calls go on when it is back", async (t) => {
  const port = await ownPort();
  const hanging = await startGrpcApp(t, { port, onInvoke: () => new Promise<never>(() => undefined) });
  const flags = ["--app-protocol", "grpc"];
  const { api } = await startBeside(t, "callee", port, { home: ownHome(t), flags });
  const answered = fetch(`${api}/v1.0/invoke/callee/method/do`);
  await waitFor("the call to arrive", () => hanging.received.length === 1 || undefined);
  hanging.kill();
  const answer = await answered;
  assert.equal(answer.status, 500);
  assert.match(await answer.text(), /ERR_DIRECT_INVOKE|"code":/);
  const gone = await fetch(`${api}/v1.0/invoke/callee/method/do`);
  assert.match(await gone.text(), /error invoking app channel: Get \\"http:.*connection refused/);
  await startGrpcApp(t, { port, onInvoke });
  assert.equal((await fetch(`${api}/v1.0/invoke/callee/method/do`)).status, 200);
});

test("--app-max-concurrency holds for a gRPC app, and a caller that leaves gives its place back", async (t) => {
  let running = 0;
  let most = 0;
  const gates: (() => void)[] = [];
  const app = await startGrpcApp(t, {
    onInvoke: async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => gates.push(resolve));
      running--;
      return {};
    },
  });
  const flags = ["--app-protocol", "grpc", "--app-max-concurrency", "2"];
  const { api } = await startBeside(t, "callee", app.port, { home: ownHome(t), flags });
  const url = `${api}/v1.0/invoke/callee/method/do`;
  const leaving = new AbortController();
  const left = assert.rejects(fetch(url, { signal: leaving.signal }));
  await waitFor("the first call", () => gates.length === 1 || undefined);
  const calls = Array.from({ length: 4 }, () => fetch(url));
  await waitFor("the second call", () => gates.length === 2 || undefined);
  leaving.abort();
  await left;
  await waitFor("the third call", () => gates.length === 3 || undefined);
  gates.shift()?.();
  while (app.received.length < 5 || running > 0) {
    gates.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(
    (await Promise.all(calls)).map(({ status }) => status),
    [200, 200, 200, 200],
  );
  assert.ok(most <= 3, String(most));
});

function configuration(t: TestContext, invocation: string): string {
  return configurationOf(t, `invocation: {${invocation}}`);
}

/** @param spec a line of YAML. */
function configurationOf(t: TestContext, spec: string): string {
  const text = `apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec:\n  ${spec}\n`;
  return join(folderWith(t, { "c.yaml": text }), "c.yaml");
}

async function startHttp(t: TestContext, tls?: { readonly key: string; readonly cert: string }): Promise<number> {
  const answer: http.RequestListener = (_, response) => response.end("HTTP/1.1");
  return listening(t, tls === undefined ? http.createServer(answer) : https.createServer(tls, answer));
}

async function startHttp2(t: TestContext): Promise<number> {
  const server = http2.createServer((_, response) => {
    response.writeHead(404, { "Content-Type": "text/plain" }).end("no such thing");
  });
  return listening(t, server);
}

async function listening(t: TestContext, server: net.Server): Promise<number> {
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as net.AddressInfo).port;
}
