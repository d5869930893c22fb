import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { PassThrough, Readable } from "node:stream";
import { type TestContext, test } from "node:test";
import type { Middleware } from "../../components/contract/middleware.ts";
import { OutriggerError } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import { traceContextOf } from "../../core/trace-context.ts";
import { Pipeline } from "../../invocation/pipeline.ts";
import { type ApiRequest, splitRequestTarget } from "./api-request.ts";
import { answerError } from "./error-answer.ts";
import type { HttpExchange } from "./http-exchange.ts";
import { type HttpCodec, HttpListener } from "./http-listener.ts";
import { throughPipeline } from "./http-pipeline.ts";
import { requestBodyOf } from "./request-body.ts";

const MAX_BODY_BYTES = 256 * 1024;
const silent = (): void => undefined;
const log: Logger = { debug: silent, info: silent, warn: silent, error: silent };
const CODECS: readonly HttpCodec[] = ["lean", "node"];

type Handle = Middleware["handle"];

type Route = (request: ApiRequest) => void | Promise<void>;

/** A server whose route says what it got: `METHOD path?query`, and the body behind it. @returns its port. */
async function serve(
  t: TestContext,
  codec: HttpCodec,
  handles: readonly Handle[],
  route: Route = echo,
): Promise<number> {
  const done = (): Promise<void> => Promise.resolve();
  const steps = handles.map((handle, at) => ({ name: `step ${at}`, middleware: { init: done, handle, close: done } }));
  const pipeline = new Pipeline(steps, log);
  const listener = new HttpListener({
    name: "test",
    codec,
    readBufferBytes: 4096,
    log,
    handle: async (exchange) => {
      const { method, rawHeaders: headers } = exchange;
      const { path, query } = splitRequestTarget(exchange.target) ?? { path: "/", query: undefined };
      const trace = traceContextOf(headers);
      const traceHeaders = ["X-Trace", "t"];
      const request = { exchange, method, path, query, headers, trace, traceHeaders, tokenChecked: false };
      try {
        await throughPipeline(pipeline, request, { route, answerError: answerPlainly, maxBodyBytes: MAX_BODY_BYTES });
      } catch (error) {
        answerError(exchange, error, traceHeaders, log);
      }
    },
  });
  t.after(() => {
    listener.destroy();
  });
  return listener.listen("127.0.0.1", 0);
}

function answerPlainly(exchange: HttpExchange, error: unknown): void {
  answerError(exchange, error, [], log);
}

async function echo({ exchange, method, path, query }: ApiRequest): Promise<void> {
  const body = await requestBodyOf(exchange, MAX_BODY_BYTES);
  const beginning = Buffer.from(`${method} ${path}${query === undefined ? "" : `?${query}`} `);
  const rest = body === undefined ? [] : body instanceof Uint8Array ? [body] : body;
  async function* all(): AsyncGenerator<Uint8Array> {
    yield beginning;
    yield* rest as AsyncIterable<Uint8Array>;
  }
  exchange.answer({
    status: 200,
    statusText: "",
    headers: ["X-Route", "r"],
    body: Readable.from(all(), { objectMode: false }),
  });
}

const passOn: Handle = (request, next) => next(request);

for (const codec of CODECS) {
  test(`${codec}: what a step changes is what the route sees`, async (t) => {
    const port = await serve(t, codec, [
      (request, next) => next({ ...request, method: "PUT", path: "/b", query: "y=2", headers: [] }),
      (request, next) => next({ ...request, body: Buffer.from("other"), contentLength: 5 }),
    ]);
    const response = await fetch(`http://127.0.0.1:${port}/a?x=1`, { method: "POST", body: "mine" });
    assert.equal(await response.text(), "PUT /b?y=2 other");
    assert.deepEqual([response.headers.get("x-route"), response.headers.get("x-trace")], ["r", "t"]);
  });

  test(`${codec}: bodies pass, short, long, and of unknown length`, async (t) => {
    const port = await serve(t, codec, [passOn, passOn]);
    const url = `http://127.0.0.1:${port}/a`;
    for (const size of [0, 10, 70_000, 200_000]) {
      const text = "x".repeat(size);
      assert.equal(await (await fetch(url, { method: "POST", body: text })).text(), `POST /a ${text}`);
      const body = new Blob([text]).stream();
      const streamed = await fetch(url, { method: "POST", body, duplex: "half" });
      assert.equal(await streamed.text(), `POST /a ${text}`);
    }
  });

  test(`${codec}: a step that reads a body gets all of it, and the limit holds`, async (t) => {
    const port = await serve(t, codec, [
      async (request, next) => {
        const pieces: Buffer[] = [];
        if (request.body instanceof Readable) for await (const piece of request.body) pieces.push(piece as Buffer);
        const body = Buffer.concat(pieces);
        return next({ ...request, body, contentLength: body.length });
      },
    ]);
    const url = `http://127.0.0.1:${port}/a`;
    const text = "y".repeat(100_000);
    assert.equal(await (await fetch(url, { method: "POST", body: text })).text(), `POST /a ${text}`);
    const announced = await fetch(url, { method: "POST", body: "z".repeat(MAX_BODY_BYTES + 1) });
    assert.deepEqual([announced.status, announced.headers.get("x-trace")], [413, "t"]);
    assert.match(await announced.text(), /more than --max-body-size allows/);
    const body = new Blob(["z".repeat(MAX_BODY_BYTES + 1)]).stream();
    const chunked = await fetch(url, { method: "POST", body, duplex: "half" });
    assert.equal(chunked.status, 500);
    assert.match(await chunked.text(), /the middleware step 0 failed: stream too large/);
  });

  test(`${codec}: who answers without passing on leaves a connection that can be used again`, async (t) => {
    const port = await serve(t, codec, [
      (request, next) =>
        request.path === "/no"
          ? Promise.resolve({ status: 403, statusText: "", headers: [], body: Buffer.from("no") })
          : next(request),
    ]);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => {
      agent.destroy();
    });
    const sockets = new Set<unknown>();
    for (const [path, status] of [
      ["/no", 403],
      ["/yes", 200],
      ["/no", 403],
    ] as const) {
      const request = http.request({ port, path, agent, method: "POST" });
      request.end("b".repeat(100_000));
      const [response] = (await once(request, "response")) as [http.IncomingMessage];
      sockets.add(response.socket);
      await response.resume().toArray();
      assert.deepEqual([response.statusCode, response.headers["x-trace"]], [status, "t"]);
    }
    assert.equal(sockets.size, 1);
  });

  test(`${codec}: only whoever reads a body invites a client to send it`, async (t) => {
    const port = await serve(t, codec, [
      (request, next) =>
        request.path === "/no"
          ? Promise.resolve({ status: 403, statusText: "", headers: [], body: undefined })
          : next(request),
    ]);
    const lines = async (path: string): Promise<string[]> => {
      const socket = net.connect(port, "127.0.0.1");
      t.after(() => socket.destroy());
      socket.write(`POST ${path} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n`);
      let text = "";
      for await (const piece of socket) {
        text += String(piece);
        if (text.endsWith("100 Continue\r\n\r\n")) socket.write("abc");
        if (/403 |abc/.test(text)) break;
      }
      return text.match(/HTTP\/1\.1 \d+/g) ?? [];
    };
    assert.deepEqual(await lines("/no"), ["HTTP/1.1 403"]);
    assert.deepEqual(await lines("/yes"), ["HTTP/1.1 100", "HTTP/1.1 200"]);
  });

  test(`${codec}: an answer streams through the steps as it comes`, async (t) => {
    const source = new PassThrough();
    const port = await serve(t, codec, [passOn], ({ exchange }) => {
      exchange.answer({ status: 200, statusText: "", headers: [], body: source });
    });
    const response = await fetch(`http://127.0.0.1:${port}/`);
    const reader = response.body?.getReader();
    for (const event of ["one", "two"]) {
      source.write(event);
      assert.equal(Buffer.from((await reader?.read())?.value ?? []).toString(), event);
    }
    source.destroy(new Error("broke"));
    await assert.rejects(async () => reader?.read());
  });

  test(`${codec}: HEAD is answered without a body, whatever a step says`, async (t) => {
    const body = Buffer.from("text");
    const port = await serve(t, codec, [() => Promise.resolve({ status: 200, statusText: "", headers: [], body })]);
    const response = await fetch(`http://127.0.0.1:${port}/`, { method: "HEAD" });
    assert.deepEqual([response.status, await response.text()], [200, ""]);
  });

  test(`${codec}: steps see the errors of what lies behind as answers, and fail with Dapr's error`, async (t) => {
    const seen: number[] = [];
    const watching: Handle = async (request, next) => {
      const answer = await next(request);
      seen.push(answer.status);
      return answer;
    };
    const failing: Handle = (request, next) =>
      request.path === "/fail" ? Promise.reject(new Error("no luck")) : next(request);
    const port = await serve(t, codec, [watching, failing], () => {
      throw new OutriggerError("noTarget", "nobody named");
    });
    const unrouted = await fetch(`http://127.0.0.1:${port}/x`);
    assert.deepEqual(
      [unrouted.status, await unrouted.json()],
      [404, { errorCode: "ERR_DIRECT_INVOKE", message: "nobody named" }],
    );
    assert.deepEqual(seen, [404]);
    const failed = await fetch(`http://127.0.0.1:${port}/fail`);
    const message = "the middleware step 1 failed: no luck";
    assert.deepEqual([failed.status, await failed.json()], [500, { errorCode: "ERR_INTERNAL", message }]);
    assert.deepEqual([failed.headers.get("x-trace"), seen], ["t", [404]]);
  });

  test(`${codec}: a client that leaves fires the signal of what a step got`, async (t) => {
    let told: (aborted: boolean) => void = silent;
    const gone = new Promise<boolean>((resolve) => {
      told = resolve;
    });
    const arrived = new PassThrough();
    const port = await serve(t, codec, [
      (request) => {
        arrived.end();
        return new Promise((_resolve, reject) => {
          const listener = {
            handleEvent: (): void => {
              told(request.signal.aborted);
              reject(new Error("gone"));
            },
          };
          request.signal.addEventListener("abort", listener);
        });
      },
    ]);
    const socket = net.connect(port, "127.0.0.1");
    socket.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    await arrived.resume().toArray();
    socket.destroy();
    assert.equal(await gone, true);
  });

  test(`${codec}: a step knows from where it is called`, async (t) => {
    const port = await serve(t, codec, [
      ({ remoteAddress = "" }) =>
        Promise.resolve({ status: 200, statusText: "", headers: [], body: Buffer.from(remoteAddress) }),
    ]);
    assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), "127.0.0.1");
  });
}
