import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { status as GRPC } from "@grpc/grpc-js";
import { HTTPExtension_Verb } from "../../src/gen/dapr/proto/common/v1/common_pb.ts";
import type {
  InternalInvokeRequest,
  InternalInvokeResponse,
} from "../../src/gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import { DaprdCaller, type DaprdPeer, type RequestMessage, requestFor, startDaprdPeer } from "../support/daprd-peer.ts";
import { freshHome } from "../support/outrigger.ts";
import { folderWith, startBeside } from "../support/processes.ts";
import { type InTestApp, startInTestApp } from "../support/raw-http-app.ts";
import { exchangeRaw } from "./raw-client.ts";

/**
 * The calls between sidecars of a real daprd 1.18.1 were recorded: a daprd that calls is answered by Outrigger as by a
 * daprd, and a daprd that is called gets from Outrigger what it would get from a daprd.
 *
 * Differences that are wanted, once for all cases: pieces have up to 64 KB and not 2; Connection, which is about the
 * recorded client's own connection, is not passed on; no `grpc-trace-bin` is answered; what Go's HTTP client says of itself
 * (User-Agent, Accept-Encoding) is not said; an error of the app channel does not name the app's address.
 */

interface Bytes {
  readonly $bytes: string;
}

type Values = Readonly<Record<string, { readonly values: readonly string[] }>>;

interface RecordedRequest {
  readonly ver: "V1";
  readonly metadata: Values;
  readonly message: {
    readonly method: string;
    readonly content_type?: string;
    readonly http_extension: { readonly verb: "GET" | "POST"; readonly querystring?: string };
  };
}

interface RecordedMessage {
  readonly request?: RecordedRequest;
  readonly payload?: { readonly data: Bytes; readonly seq?: string };
}

interface RecordedResponse {
  readonly status: { readonly code: number };
  readonly headers: Values;
  readonly message: { readonly content_type: string; readonly data?: { readonly value: Bytes } };
}

interface CalleeCase {
  readonly group: string;
  readonly name: string;
  readonly request?: { readonly stream: readonly RecordedMessage[] };
  readonly app: readonly {
    readonly method: string;
    readonly path: string;
    readonly headers: readonly (readonly [string, string])[];
    readonly body: string;
  }[];
  readonly response: RecordedResponse & {
    readonly messages?: readonly { readonly response: RecordedResponse; readonly payload: { readonly data: Bytes } }[];
    readonly err?: { readonly code: "INTERNAL" | "INVALID_ARGUMENT"; readonly message: string };
  };
}

interface CallerCase {
  readonly group: string;
  readonly name: string;
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
  };
  readonly peer: {
    readonly rpc: string;
    readonly metadata: readonly (readonly [string, string])[];
    readonly messages: readonly [RecordedMessage & { readonly request: RecordedRequest }, ...RecordedMessage[]];
  };
  readonly response: { readonly status: number; readonly body: string };
}

const recording = new URL("../fixtures/observed/daprd-1.18.1-peer.jsonl", import.meta.url);
const lines = readFileSync(recording, "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as CalleeCase | CallerCase);
const asCaller = lines.filter(({ group }) => group.startsWith("daprd as the caller")) as CallerCase[];
const streamed = lines.filter(({ group }) => group === "daprd as the callee: CallLocalStream") as CalleeCase[];
const unary = lines.filter(({ group }) => group === "daprd as the callee: CallLocal") as CalleeCase[];

const VERBS = { GET: HTTPExtension_Verb.GET, POST: HTTPExtension_Verb.POST };
const ends: (() => unknown)[] = [];
const t = { after: (end: () => unknown) => ends.unshift(end) };
let app: InTestApp;
let caller: DaprdCaller;
let peer: DaprdPeer;
let api: string;

before(async () => {
  const home = freshHome(t);
  const env = { DAPR_HOST_IP: "127.0.0.1" };
  app = await startInTestApp(t, (request, response) => {
    const status = Number(/^\/status\/(\d+)/.exec(request.url ?? "")?.[1] ?? 200);
    response.writeHead(status, ["Content-Type", "application/json", "X-App", "1", "X-App", "2"]);
    response.end('{"ok":true}');
  });
  const callee = await startBeside(t, "callee", app.port, { home, env });
  caller = new DaprdCaller(t, `127.0.0.1:${callee.listed.internalPort}`);
  peer = await startDaprdPeer(t);
  const table = { nameResolution: { component: "static", configuration: { fakeapp: peer.address } } };
  const configuration = { apiVersion: "dapr.io/v1alpha1", kind: "Configuration", metadata: { name: "c" }, spec: table };
  const config = join(folderWith(t, { "config.yaml": JSON.stringify(configuration) }), "config.yaml");
  ({ api } = await startBeside(t, "caller", undefined, { home, env, flags: ["--config", config] }));
});

after(async () => {
  for (const end of ends) await end();
});

test("every case of the recording is run here, or is that of mDNS", () => {
  const others = lines.length - asCaller.length - streamed.length - unary.length;
  assert.deepEqual([asCaller.length, streamed.length, unary.length, others], [3, 7, 1, 1]);
});

describe("a daprd calls", () => {
  for (const recorded of streamed) {
    test(`CallLocalStream: ${recorded.name}`, async () => {
      const before = app.whole.length;
      const outcome = await caller.callLocalStream(recorded.request?.stream.map(messageOf) ?? []);
      const { err, messages = [] } = recorded.response;
      assert.equal(outcome.status.code, err === undefined ? GRPC.OK : GRPC[err.code], outcome.status.details);
      if (err !== undefined) assert.equal(outcome.status.details, withoutAddress(err.message));
      assert.equal(outcome.body.toString(), messages.map(({ payload }) => payload.data.$bytes).join(""));
      assert.deepEqual(
        outcome.messages.slice(0, 1).map(responseIn),
        messages.map(({ response }) => recordedResponse(response)),
      );
      assert.deepEqual(outcome.headers?.get("content-type") ?? ["application/grpc"], ["application/grpc"]);
      assert.deepEqual(appRequests(before), recorded.app.map(recordedAppRequest));
    });
  }

  for (const recorded of unary) {
    test(`CallLocal: ${recorded.name}`, async () => {
      const before = app.whole.length;
      const head = streamed[0]?.request?.stream[0];
      assert.ok(head?.request !== undefined);
      const data = Buffer.from(contentOf(head.payload?.data));
      const answer = await caller.callLocal(headOf(head.request, data));
      assert.deepEqual(responseIn({ response: answer }), recordedResponse(recorded.response));
      assert.equal(
        Buffer.from(answer.message?.data?.value ?? []).toString(),
        recorded.response.message.data?.value.$bytes,
      );
      assert.deepEqual(appRequests(before), recorded.app.map(recordedAppRequest));
    });
  }
});

describe("a daprd is called", () => {
  for (const recorded of asCaller) {
    test(recorded.name, async () => {
      const { method, path, headers } = recorded.request;
      const body = recorded.peer.messages.map(({ payload }) => contentOf(payload?.data)).join("");
      const port = Number(new URL(api).port);
      const length: [string, string][] = body === "" ? [] : [["Content-Length", String(body.length)]];
      const sent: [string, string][] = [["Host", `127.0.0.1:${port}`], ...Object.entries(headers), ...length];
      const answer = await exchangeRaw(port, { method, target: path, headers: sent, body });
      assert.deepEqual([answer.status, answer.body], [recorded.response.status, recorded.response.body]);

      const received = peer.streams.at(-1);
      const [first, ...more] = received?.messages ?? [];
      assert.ok(first?.request !== undefined && received !== undefined);
      assert.deepEqual(requestIn(first.request), recordedRequest(recorded.peer.messages[0].request));
      const pieces = [first, ...more].flatMap(({ payload }) => (payload === undefined ? [] : [payload]));
      assert.equal(Buffer.concat(pieces.map(({ data }) => data)).toString(), body);
      assert.deepEqual(
        pieces.map(({ seq }) => Number(seq)),
        [...pieces.keys()],
      );
      const metadata = received.metadata.getMap();
      const names = Object.keys(metadata).filter((name) => !name.startsWith("outrigger-"));
      assert.deepEqual(names.sort(), recorded.peer.metadata.map(([name]) => name).sort());
      assert.equal(metadata["traceparent"], recorded.peer.metadata.find(([name]) => name === "traceparent")?.[1]);
    });
  }
});

function contentOf(data: Bytes | undefined): string {
  const recorded = data?.$bytes ?? "";
  const bytes = /^<(\d+) bytes>$/.exec(recorded)?.[1];
  return bytes === undefined ? recorded : "x".repeat(Number(bytes));
}

function messageOf({ request, payload }: RecordedMessage): RequestMessage {
  return {
    ...(payload === undefined
      ? {}
      : { payload: { data: Buffer.from(contentOf(payload.data)), seq: BigInt(payload.seq ?? "0") } }),
    ...(request === undefined ? {} : { request: headOf(request) }),
  };
}

function headOf({ metadata, message }: RecordedRequest, data?: Uint8Array): InternalInvokeRequest {
  const headers = Object.fromEntries(Object.entries(metadata).map(([name, { values }]) => [name, values]));
  const { method, content_type: contentType = "", http_extension } = message;
  const { verb, querystring: query = "" } = http_extension;
  const options = { headers, contentType, query, verb: VERBS[verb] };
  return requestFor(method, data === undefined ? options : { ...options, data });
}

interface Head {
  readonly method: string;
  readonly contentType: string;
  readonly verb: number;
  readonly query: string;
  readonly metadata: Readonly<Record<string, readonly string[]>>;
}

function requestIn({ metadata, message }: InternalInvokeRequest): Head {
  const { method = "", contentType = "", httpExtension } = message ?? {};
  return {
    method,
    contentType,
    verb: httpExtension?.verb ?? 0,
    query: httpExtension?.querystring ?? "",
    metadata: valuesIn(metadata, hostname()),
  };
}

function recordedRequest({ metadata, message }: RecordedRequest): Head {
  const { method, content_type: contentType = "", http_extension } = message;
  const { verb, querystring: query = "" } = http_extension;
  return { method, contentType, verb: VERBS[verb], query, metadata: valuesIn(metadata, "vm") };
}

function responseIn({ response }: { readonly response?: InternalInvokeResponse | undefined }): unknown {
  const { status, headers = {}, message } = response ?? {};
  return { status: status?.code, headers: valuesIn(headers, hostname()), contentType: message?.contentType };
}

function recordedResponse({ status, headers, message }: RecordedResponse): unknown {
  return { status: status.code, headers: valuesIn(headers, "vm"), contentType: message.content_type };
}

/** By names in lower case and in order, dates and the host's name in words. */
function valuesIn(values: Values, host: string): Readonly<Record<string, readonly string[]>> {
  const named = Object.entries(values)
    .map(([name, list]) => [name.toLowerCase(), list.values.map((value) => value.replace(host, "HOST"))] as const)
    .filter(([name]) => name !== "connection");
  return Object.fromEntries(
    named.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, list]) => [name, name === "date" ? ["DATE"] : list]),
  );
}

const SAID_BY_GO = new Set(["user-agent", "accept-encoding"]);

function recordedAppRequest({ method, path, headers, body }: CalleeCase["app"][number]): unknown {
  const kept = headers.filter(([name]) => !SAID_BY_GO.has(name.toLowerCase()));
  return { line: `${method} ${path}`, headers: pairsInOrder(kept), body };
}

/** What the app has got since. */
function appRequests(since: number): unknown[] {
  return app.whole.slice(since).map(({ line, headers, body }) => {
    const pairs = headers.flatMap((name, at): [string, string][] =>
      at % 2 === 0 ? [[name, headers[at + 1] ?? ""]] : [],
    );
    return { line, headers: pairsInOrder(pairs), body };
  });
}

function pairsInOrder(pairs: readonly (readonly [string, string])[]): string[] {
  return pairs
    .map(([name, value]) => `${name.toLowerCase()}: ${value.replace(`127.0.0.1:${app.port}`, "127.0.0.1:PORT")}`)
    .filter((line) => line !== "connection: keep-alive")
    .sort();
}

function withoutAddress(message: string): string {
  return message.replace(/Post "[^"]*": /, "");
}
