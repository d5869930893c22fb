import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import net, { type AddressInfo, type Server } from "node:net";
import { Readable } from "node:stream";
import { after, suite, type TestContext, test } from "node:test";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { makeAuthority } from "../../../test/support/certificates.ts";
import { QUIET, requestMessage, type Sent, textOfAnswer } from "../../../test/support/upstream.ts";
import { CallError, nothingWasSent } from "../../core/errors.ts";
import type { ResponseMessage } from "../../core/message.ts";
import { endpointAt, placeOf } from "../../invocation/endpoint-url.ts";
import type { Endpoint, EndpointTls } from "../../invocation/ports.ts";
import { systemClock } from "../../runtime/system-clock.ts";
import { upstreamFactory } from "../upstream/upstream-factory.ts";
import { EndpointClient } from "./endpoint-client.ts";

const authority = makeAuthority({ after });
const server = authority.issue("server", "IP:127.0.0.1");
const client = authority.issue("client", "DNS:client.test");

/** An HTTPEndpoint resource. */
function endpoint(baseUrl: string, more: Partial<Endpoint> = {}): Endpoint {
  return {
    name: "ext",
    ...placeOf(new URL(baseUrl)),
    headers: [],
    tls: undefined,
    followsRedirects: true,
    ...more,
  };
}

function tls(more: Partial<EndpointTls> = {}): { readonly tls: EndpointTls } {
  return { tls: { ca: authority.ca, own: undefined, renegotiation: "never", ...more } };
}

async function listening(t: TestContext, listener: Server, close = (): void => undefined): Promise<number> {
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  t.after(() => {
    listener.close();
    close();
  });
  return (listener.address() as AddressInfo).port;
}

async function startHttp(t: TestContext, handle: http.RequestListener): Promise<string> {
  const listener = http.createServer(handle);
  const port = await listening(t, listener, () => {
    listener.closeAllConnections();
  });
  return `http://127.0.0.1:${port}`;
}

async function startHttps(
  t: TestContext,
  options: https.ServerOptions = {},
  handle: http.RequestListener = sayOk,
): Promise<string> {
  const listener = https.createServer({ ...server, ...options }, handle);
  const port = await listening(t, listener, () => {
    listener.closeAllConnections();
  });
  return `https://127.0.0.1:${port}`;
}

/** Asks for three new handshakes, one after the other, before it answers. */
async function startRenegotiating(
  t: TestContext,
): Promise<{ readonly port: number; readonly renegotiated: () => number }> {
  let renegotiated = 0;
  const sockets: TLSSocket[] = [];
  const listener = createTlsServer({ ...server, maxVersion: "TLSv1.2" }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    const next = (): void => {
      if (renegotiated === 3) {
        socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        return;
      }
      socket.renegotiate({ rejectUnauthorized: false, requestCert: false }, (error) => {
        if (error !== null) socket.destroy();
        else {
          renegotiated++;
          next();
        }
      });
    };
    socket.once("data", next);
  });
  const port = await listening(t, listener, () => {
    for (const socket of sockets) socket.destroy();
  });
  return { port, renegotiated: () => renegotiated };
}

const sayOk: http.RequestListener = (_request, response) => {
  response.end("ok");
};

for (const codec of ["lean", "node"] as const) {
  suite(`by the ${codec} codec`, { timeout: 60_000 }, () => {
    function clientFor(t: TestContext, connectTimeoutMs?: number): EndpointClient {
      const factory = upstreamFactory({ codec, clock: systemClock, log: QUIET });
      const it = new EndpointClient(systemClock, factory, connectTimeoutMs);
      t.after(() => {
        it.close();
      });
      return it;
    }

    function call(t: TestContext, at: Endpoint, sent: Sent = {}): Promise<ResponseMessage> {
      return clientFor(t).call(at, requestMessage(sent));
    }

    test("a request goes to the endpoint's place with its headers, which replace the caller's of their names", async (t) => {
      const seen: http.IncomingMessage[] = [];
      const url = await startHttp(t, (request, response) => {
        seen.push(request);
        response.end("ok");
      });
      const headers = ["x-key", "mine", "X-Other", "o", "x-bytes-bin", "AA=="];
      const own = ["X-Key", "theirs"];
      const answer = await call(t, endpoint(`${url}/v2/`, { headers: own }), { path: "/a%2Fb", query: "x=1", headers });
      assert.equal(await textOfAnswer(answer), "ok");
      const [request] = seen;
      assert.equal(request?.url, "/v2/a%2Fb?x=1");
      const { host, "x-key": key, "x-other": other, "x-bytes-bin": binary } = request.headers;
      assert.deepEqual([host, key, other, binary], [url.slice("http://".length), "theirs", "o", undefined]);
    });

    test("a user that names the target is for Outrigger, any other for the endpoint", async (t) => {
      const url = await startHttp(t, ({ headers }, response) => {
        response.end(headers.authorization);
      });
      for (const [user, sent] of [
        ["dapr-app-id:ext", ""],
        ["me:secret", "Basic bWU6c2VjcmV0"],
      ] as const) {
        const headers = ["Authorization", `Basic ${Buffer.from(user).toString("base64")}`];
        assert.equal(await textOfAnswer(await call(t, endpoint(url), { headers })), sent);
      }
    });

    for (const [asked, own, sent] of [
      ["application/json, text/event-stream", "text/event-stream", "application/json, text/event-stream"],
      ["Text/Event-Stream;q=0.9", "text/event-stream", "Text/Event-Stream;q=0.9"],
      ["*/*", "text/event-stream", "text/event-stream"],
      ["application/json", "text/event-stream", "text/event-stream"],
      [undefined, "text/event-stream", "text/event-stream"],
      ["application/json, text/event-stream", "text/plain", "text/plain"],
    ] as const) {
      test(`of a caller that accepts ${asked ?? "nothing"}, an endpoint that accepts ${own} is asked for ${sent}`, async (t) => {
        const url = await startHttp(t, ({ headers }, response) => {
          response.end(headers.accept);
        });
        const headers = asked === undefined ? [] : ["accept", asked];
        const answer = await call(t, endpoint(url, { headers: ["Accept", own] }), { headers });
        assert.equal(await textOfAnswer(answer), sent);
      });
    }

    test("redirects are followed with the body where they keep the verb, ten at most, and by an endpoint alone", async (t) => {
      const seen: string[] = [];
      const url = await startHttp(t, (request, response) => {
        void Readable.prototype.toArray.call(request).then((pieces: Buffer[]) => {
          seen.push(`${request.method ?? ""} ${request.url ?? ""} ${Buffer.concat(pieces).toString()}`.trim());
          const at = Number(request.url?.slice("/hop/".length));
          if (request.url === "/keep") response.writeHead(308, { location: "/kept" }).end();
          else if (request.url === "/change") response.writeHead(303, { location: "changed?y=1" }).end();
          else if (at > 0) response.writeHead(302, { location: `/hop/${at - 1}` }).end();
          else if (request.url === "/loop") response.writeHead(302, { location: "/loop" }).end();
          else response.end("landed");
        });
      });
      const post = { method: "POST", body: Buffer.from("body") };
      assert.equal(await textOfAnswer(await call(t, endpoint(url), { ...post, path: "/keep" })), "landed");
      assert.equal(await textOfAnswer(await call(t, endpoint(url), { ...post, path: "/change" })), "landed");
      assert.deepEqual(seen.splice(0), ["POST /keep body", "POST /kept body", "POST /change body", "GET /changed?y=1"]);
      assert.equal(await textOfAnswer(await call(t, endpoint(url), { path: "/hop/10" })), "landed");
      await assert.rejects(call(t, endpoint(url), { path: "/loop" }), {
        message: `Get "${url}/loop": stopped after 10 redirects`,
      });
      assert.equal((await call(t, endpointAt(url), { path: "/loop" })).status, 302);
    });

    test("who is redirected to must be vouched for by the endpoint's authority", async (t) => {
      const there = await startHttps(t);
      const url = await startHttp(t, (_, response) => response.writeHead(301, { location: there }).end());
      assert.equal(await textOfAnswer(await call(t, endpoint(url, tls()))), "ok");
      await assert.rejects(
        call(t, endpoint(url, tls({ ca: makeAuthority(t).ca }))),
        /its certificate is refused.*; HTTPEndpoint ext redirected there$/,
      );
    });

    test("a call that is redirected to nobody has been sent to somebody, unlike one that nobody took", async (t) => {
      const url = await startHttp(t, (_, response) =>
        response.writeHead(303, { location: "http://127.0.0.1:1/" }).end(),
      );
      for (const [at, wasSent] of [
        [url, true],
        ["http://127.0.0.1:1", false],
      ] as const) {
        await assert.rejects(call(t, endpoint(at), { method: "POST", body: Buffer.from("x") }), (error: Error) => {
          assert.match(error.message, /connection refused/);
          return nothingWasSent(error) !== wasSent;
        });
      }
    });

    test("a body that was streamed is not sent twice: the redirect is the answer", async (t) => {
      const url = await startHttp(t, (request, response) => {
        request.resume().on("end", () => response.writeHead(307, { location: "/there" }).end());
      });
      const body = Readable.from([Buffer.from("streamed")]);
      const { status } = await call(t, endpoint(url), { method: "POST", body });
      assert.equal(status, 307);
    });

    test("a server that asks who calls is shown the endpoint's certificate, and one that is not is told apart", async (t) => {
      const mutual = { ca: authority.ca, requestCert: true, rejectUnauthorized: true };
      for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
        const url = await startHttps(t, { ...mutual, maxVersion });
        const own = { certificate: client.cert, privateKey: client.key };
        assert.equal(await textOfAnswer(await call(t, endpoint(url, tls({ own })))), "ok");
        await assert.rejects(call(t, endpoint(url, tls())), (error: Error) => {
          assert.match(
            error.message,
            /^Get "https:.*TLS failed.*clientTLS\.certificate of HTTPEndpoint ext and privateKey/,
          );
          return true;
        });
      }
    });

    test("what is wrong with TLS is said, and what to do about it", async (t) => {
      const expired = authority.issueExpired("expired", "IP:127.0.0.1");
      const elsewhere = authority.issue("elsewhere", "DNS:elsewhere.test");
      const plain = (await startHttp(t, sayOk)).replace("http:", "https:");
      const withTls = await startHttps(t);
      const stranger = makeAuthority(t).ca;
      for (const [what, at, message] of [
        ["expired", endpoint(await startHttps(t, expired), tls()), /certificate has expired; whoever runs the server/],
        [
          "another name",
          endpoint(await startHttps(t, elsewhere), tls()),
          /; name the host in baseUrl of HTTPEndpoint ext/,
        ],
        ["another authority", endpoint(withTls, tls({ ca: stranger })), /; clientTLS\.rootCA of HTTPEndpoint ext says/],
        ["nobody's", endpoint(withTls), /; clientTLS\.rootCA of HTTPEndpoint ext can say which authority to trust/],
        ["nobody's, of a URL", endpointAt(withTls), /; clientTLS\.rootCA of an HTTPEndpoint can say/],
        ["no TLS", endpoint(plain, tls()), /not in TLS; write http:\/\/ in baseUrl of HTTPEndpoint ext/],
      ] as const) {
        await assert.rejects(call(t, at), message, what);
      }
    });

    test("TLS before 1.2 is not spoken", async (t) => {
      const url = await startHttps(t, { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" });
      await assert.rejects(call(t, endpoint(url, tls())), /TLS failed/);
    });

    test("a server that accepts and never shakes hands is given up", async (t) => {
      const sockets: net.Socket[] = [];
      const silent = net.createServer((socket) => sockets.push(socket.on("error", () => undefined)));
      const port = await listening(t, silent, () => {
        for (const socket of sockets) socket.destroy();
      });
      const calling = clientFor(t, 200).call(endpoint(`https://127.0.0.1:${port}`, tls()), requestMessage());
      await assert.rejects(calling, /connection timed out; check the host and port in baseUrl of HTTPEndpoint ext/);
    });

    test("nobody there, and a name that does not resolve, are said with the resource to look at", async (t) => {
      await assert.rejects(
        call(t, endpoint("http://127.0.0.1:1")),
        /refused; check the host and port in baseUrl of HTTPEndpoint ext/,
      );
      await assert.rejects(call(t, endpoint("http://nowhere.invalid")), /host not found; check the host/);
      await assert.rejects(call(t, endpointAt("http://nowhere.invalid")), /host not found$/);
    });

    for (const [renegotiation, allowed] of [
      ["never", 0],
      ["once", 1],
      ["freely", 3],
    ] as const) {
      test(`a server of TLS 1.2 may renegotiate ${renegotiation}`, async (t) => {
        const { port, renegotiated } = await startRenegotiating(t);
        const calling = call(t, endpoint(`https://127.0.0.1:${port}`, tls({ renegotiation })));
        if (allowed === 3) assert.equal(await textOfAnswer(await calling), "ok");
        else await assert.rejects(calling, CallError);
        // The server may see the handshake end that the client does not put up with.
        assert.ok(renegotiated() === allowed || (allowed === 1 && renegotiated() === 2), `${renegotiated()} times`);
      });
    }

    test("endpoints share connections only where they show and trust the same", async (t) => {
      const ports = new Set<number>();
      const url = await startHttp(t, ({ socket }, response) => {
        ports.add(socket.remotePort ?? 0);
        response.end("ok");
      });
      const it = clientFor(t);
      const one = endpoint(url, tls());
      const own = { certificate: client.cert, privateKey: client.key };
      const same = [one, { ...one, name: "other" }, endpoint(url, tls())];
      for (const at of [...same, endpoint(url), endpointAt(url), endpoint(url, tls({ own }))]) {
        await textOfAnswer(await it.call(at, requestMessage()));
      }
      assert.equal(ports.size, 3);
    });
  });
}
