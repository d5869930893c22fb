import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import { after, before, suite, test } from "node:test";
import { startHost } from "../support/apps.ts";
import type { TestScope } from "../support/cleanup.ts";
import { callH2, connectH2 } from "../support/h2-client.ts";
import { ownHome, startBeside } from "../support/processes.ts";
import { parseAnswers, RawConnection } from "../support/raw-http.ts";
import { type InTestApp, startInTestApp } from "../support/raw-http-app.ts";

/** Trailers, which daprd has no place for either: the body is whole, its connection goes on, and nothing is left of them. */

const KiB = 1024;
const SIZES = [0, 3, 100 * KiB];
const ABOUT_TRAILERS = /^(?:te|trailer|x-late|content-md5)$/i;

const at = (path: string): string => `/v1.0/invoke/callee/method${path}`;

const chunkedWithTrailers = (body: string): string => {
  const chunk = body === "" ? "" : `${body.length.toString(16)}\r\n${body}\r\n`;
  return `${chunk}0\r\nX-Late: 1\r\nContent-MD5: x\r\n\r\n`;
};

/** The callers' ports of all connections that the app has answered on. */
const connections = new Set<number | undefined>();

/** An app that answers with as many bytes as it is asked for, and trailers behind them. */
function answerWithTrailers(request: { readonly url?: string | undefined }, response: ServerResponse): void {
  const bytes = Number(/\d+$/.exec(request.url ?? "")?.[0]);
  connections.add(response.socket?.remotePort);
  response.writeHead(200, { Trailer: "X-Late, Content-MD5", "Transfer-Encoding": "chunked", "X-App": "1" });
  response.addTrailers({ "X-Late": "1", "Content-MD5": "x" });
  response.end("y".repeat(bytes));
}

for (const isCoHosted of [false, true]) {
  suite(isCoHosted ? "between apps of one process" : "through two processes", () => {
    const cleanups: (() => unknown)[] = [];
    let app: InTestApp;
    let api: string;
    before(async () => {
      const scope: TestScope = { after: (fn) => cleanups.unshift(fn) };
      app = await startInTestApp(scope, answerWithTrailers);
      const home = ownHome(scope);
      if (isCoHosted) {
        const host = await startHost(scope, home, [
          { appId: "callee", serves: false, keys: { appPort: app.port } },
          { appId: "caller", serves: false },
        ]);
        await host.outrigger.waitForOutput(/^callee +● answers/m);
        api = await host.api("caller");
      } else {
        await startBeside(scope, "callee", app.port, { home });
        api = (await startBeside(scope, "caller", undefined, { home })).api;
      }
    });
    after(async () => {
      for (const cleanup of cleanups) await cleanup();
    });

    function seenByApp(key: string): { readonly names: string[]; readonly bytes: number } {
      const seen = app.whole.find(({ line }) => line.includes(key));
      const names = (seen?.headers ?? []).filter((_, index) => index % 2 === 0);
      return { names, bytes: seen?.body.length ?? -1 };
    }

    test("HTTP/1.1: one connection carries request after request, and the answers to them", async (t) => {
      const connection = await RawConnection.open(t, Number(new URL(api).port));
      const keys = SIZES.map(() => randomUUID());
      for (const [index, bytes] of SIZES.entries()) {
        const line = `POST ${at(`/${keys[index] ?? ""}/${bytes}`)} HTTP/1.1\r\n`;
        const framing =
          "Transfer-Encoding: chunked\r\nTE: trailers\r\nConnection: TE\r\nTrailer: X-Late, Content-MD5\r\n";
        connection.write(`${line}Host: x\r\n${framing}\r\n${chunkedWithTrailers("x".repeat(bytes))}`);
        const isThere = (): boolean => parseAnswers(connection.received).length === index + 1;
        await connection.waitUntil("the answer", isThere);
        const { status, headers, body } = parseAnswers(connection.received)[index] ?? {
          status: 0,
          headers: {},
          body: "",
        };
        assert.deepEqual([status, body.length, headers["x-app"]], [200, bytes, "1"]);
        assert.deepEqual(
          Object.keys(headers).filter((name) => ABOUT_TRAILERS.test(name)),
          [],
        );
        const seen = seenByApp(keys[index] ?? "");
        assert.deepEqual([seen.bytes, seen.names.filter((name) => ABOUT_TRAILERS.test(name))], [bytes, []]);
      }
      assert.doesNotMatch(connection.received, /late|md5/i);
    });

    test("the app's connections are used again", async () => {
      connections.clear();
      for (let call = 0; call < 10; call++) {
        assert.equal((await (await fetch(`${api}${at("/100")}`)).text()).length, 100);
      }
      assert.ok(connections.size < 10, `${connections.size} connections for ten calls`);
    });

    test("HTTP/2: the same, stream by stream", async (t) => {
      const session = await connectH2(t, api);
      for (const bytes of SIZES) {
        const key = randomUUID();
        const answer = await callH2(session, {
          method: "POST",
          path: at(`/${key}/${bytes}`),
          headers: { te: "trailers", trailer: "x-late" },
          body: [Buffer.alloc(bytes, "x")],
          trailers: { "x-late": "1", "content-md5": "x" },
        });
        assert.deepEqual([answer.status, answer.body.length, answer.headers["x-app"]], [200, bytes, "1"]);
        assert.deepEqual(
          Object.keys(answer.headers).filter((name) => ABOUT_TRAILERS.test(name)),
          [],
        );
        const seen = seenByApp(key);
        assert.deepEqual([seen.bytes, seen.names.filter((name) => ABOUT_TRAILERS.test(name))], [bytes, []]);
      }
      assert.equal(session.destroyed, false);
    });
  });
}
