import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import net, { type AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, suite, type TestContext, test } from "node:test";
import { startCallee, startCaller, startHost } from "../support/apps.ts";
import {
  answerTo,
  begin,
  download,
  type Framing,
  get,
  type Path,
  progressUntil,
  release,
  textOf,
  upload,
} from "../support/apps-client.ts";
import { sha256OfPattern } from "../support/apps-pattern.ts";
import { makeAuthority } from "../support/certificates.ts";
import { APPS, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import { folderWith, kill, ownHome, startBeside } from "../support/processes.ts";
import { waitFor } from "../support/wait.ts";

/** The sidecar reaches its own app over TLS, and over HTTP/2 without it. */

const KiB = 1024;
const MiB = 1024 * KiB;
const FRAMINGS: readonly Framing[] = ["known length", "chunked"];
const NODE_APP = [process.execPath, join(APPS, "node/app.mjs"), "serve"] as const;

const authority = makeAuthority({ after });
const stranger = makeAuthority({ after });
const certificate = authority.issue("app", "DNS:app.test");
const TLS_ENV = { APP_KEY_FILE: certificate.keyFile, APP_CERT_FILE: certificate.certFile };

interface Echo {
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly bodyBytes: number;
}

for (const protocol of ["https", "h2c"] as const) {
  const cleanups: (() => unknown)[] = [];
  let path: Path;
  let calleeApi: string;

  suite(`an app that speaks ${protocol}`, () => {
    before(async () => {
      const scope = { after: (fn: () => unknown) => cleanups.unshift(fn) };
      const home = ownHome(scope);
      const control = String(await ownPort());
      const env = { APP_SPEAKS: protocol, APP_CONTROL_PORT: control, ...TLS_ENV };
      const flags = ["--app-protocol", protocol, "--max-body-size", "100Mi"];
      const callee = await startCallee(scope, { home, appId: "callee", command: NODE_APP, flags, env });
      const caller = await startCaller(scope, { home, appId: "caller", flags: ["--max-body-size", "100Mi"] });
      calleeApi = callee.api;
      path = { api: caller.api, target: "callee", direct: `http://127.0.0.1:${control}` };
    });
    after(async () => {
      for (const cleanup of cleanups) await cleanup();
    });

    test("requests and answers cross whole, from another process and from its own", async () => {
      for (const api of [path.api, calleeApi]) {
        const url = `${api}/v1.0/invoke/callee/method/echo/a%20b?c=d`;
        const answer = await fetch(url, { method: "POST", body: "abc", headers: { "X-Kept": "1", TE: "trailers" } });
        assert.equal(answer.status, 200);
        assert.match(answer.headers.get("x-app") ?? "", /^node:/);
        const echo = (await answer.json()) as Echo;
        const header = (name: string): string | undefined =>
          echo.headers.find(([found]) => found.toLowerCase() === name)?.[1];
        assert.deepEqual([echo.path, echo.bodyBytes, header("x-kept")], ["/echo/a%20b?c=d", 3, "1"]);
        assert.equal(header(":authority") !== undefined, protocol === "h2c");
        assert.deepEqual([header("te"), header("traceparent")?.length], [undefined, 55]);
      }
    });

    test("statuses, and headers that are repeated, come back as the app sent them", async () => {
      for (const status of [200, 204, 304, 404, 500]) {
        const answer = await fetch(`${path.api}/v1.0/invoke/callee/method/status/${status}`);
        await answer.arrayBuffer();
        assert.equal(answer.status, status);
      }
      const answer = await fetch(`${path.api}/v1.0/invoke/callee/method/headers`);
      assert.equal(await answer.text(), "{}");
      assert.deepEqual(answer.headers.getSetCookie(), ["a=1; Path=/", "b=2; HttpOnly"]);
      assert.equal(answer.headers.get("x-repeated"), "one, two");
      const head = await fetch(`${path.api}/v1.0/invoke/callee/method/echo`, { method: "HEAD" });
      assert.deepEqual([head.status, head.headers.get("x-echo-method")], [200, "HEAD"]);
    });

    test("bodies of several sizes cross whole, both ways", async (t) => {
      for (const bytes of [0, 1, 64 * KiB, 64 * KiB + 1, 12 * MiB]) {
        for (const framing of FRAMINGS) {
          const whole = { status: 200, bytes, sha256: sha256OfPattern(bytes) };
          assert.deepEqual(await upload(t, path, bytes, framing), whole);
          assert.deepEqual(await download(t, path, bytes, framing), whole);
        }
      }
    });

    test("events arrive one by one, each before the next is sent", async (t) => {
      const key = randomUUID();
      const answer = await get(t, path, `/events?count=4&key=${key}`);
      const events: string[] = [];
      for await (const chunk of answer.setEncoding("utf8") as AsyncIterable<string>) {
        events.push(chunk);
        await release(path, key);
      }
      assert.deepEqual(events, ["data: 0\n\n", "data: 1\n\n", "data: 2\n\n", "data: 3\n\n"]);
    });

    test("the pieces of an upload arrive one by one, each before the next is sent", async (t) => {
      const key = randomUUID();
      const request = begin(t, path, { method: "POST", path: `/upload?key=${key}` });
      const answered = answerTo(request);
      for (let sent = 1; sent <= 4; sent++) {
        request.write("x");
        await progressUntil(path, key, ({ bytes }) => bytes === sent);
      }
      request.end();
      const sha256 = createHash("sha256").update("xxxx").digest("hex");
      assert.deepEqual(JSON.parse(await textOf(await answered)), { bytes: 4, sha256 });
    });

    test("a hundred calls at once each get their own answer", async () => {
      const calls = Array.from({ length: 100 }, async (_, index) => {
        const url = `${path.api}/v1.0/invoke/callee/method/echo/${index}`;
        const body = "x".repeat(index * 100);
        const answer = await fetch(url, { method: "POST", body, headers: { "X-Call-Id": `${index}` } });
        const echo = (await answer.json()) as Echo;
        return [answer.headers.get("x-call-id"), echo.path, echo.bodyBytes];
      });
      const wanted = Array.from({ length: 100 }, (_, index) => [`${index}`, `/echo/${index}`, index * 100]);
      assert.deepEqual(await Promise.all(calls), wanted);
    });

    test("a caller that leaves ends the call at the app: half-way through an answer, and through a request", async (t) => {
      const down = randomUUID();
      const answer = await get(t, path, `/download?bytes=${256 * MiB}&key=${down}`);
      await once(answer, "readable");
      answer.destroy();
      await progressUntil(path, down, ({ state }) => state === "broken");
      const up = randomUUID();
      const request = begin(t, path, { method: "POST", path: `/upload?key=${up}` });
      request.write(Buffer.alloc(MiB));
      await progressUntil(path, up, ({ bytes }) => bytes === MiB);
      request.destroy();
      const { bytes } = await progressUntil(path, up, ({ state }) => state === "broken");
      assert.equal(bytes, MiB);
    });

    test("a caller that stops reading stops the app's sending, and loses nothing", async (t) => {
      const key = randomUUID();
      const bytes = 128 * MiB;
      const answer = await get(t, path, `/download?bytes=${bytes}&key=${key}`);
      let before = -1;
      let sent = 0;
      while (sent !== before || sent === 0) {
        before = sent;
        await download(t, path, 16 * MiB, "chunked");
        sent = (await progressUntil(path, key, () => true)).bytes;
      }
      assert.ok(sent < bytes / 4, `the app had sent ${sent} of ${bytes} bytes to a caller that read none`);
      const hash = createHash("sha256");
      for await (const chunk of answer as AsyncIterable<Buffer>) hash.update(chunk);
      assert.equal(hash.digest("hex"), sha256OfPattern(bytes));
    });

    test("an answer that the app breaks off is broken for the caller", async (t) => {
      for (const chunked of ["", "&chunked=1"]) {
        const answer = await get(t, path, `/die-mid-body?bytes=${MiB}${chunked}`);
        await assert.rejects(textOf(answer), { code: "ECONNRESET" });
      }
    });

    test("its health is asked for in the same way", async (t) => {
      const port = await ownPort();
      const env = { ...process.env, APP_PORT: String(port), APP_SPEAKS: protocol, ...TLS_ENV };
      const app = spawn(NODE_APP[0], NODE_APP.slice(1), { env, stdio: "ignore" });
      t.after(() => app.kill("SIGKILL"));
      const flags = ["--app-protocol", protocol, "--enable-app-health-check", "--app-health-check-path", "/echo"];
      const { api } = await startBeside(t, "probed", port, { home: ownHome(t), flags });
      // Until it has been found healthy, calls to it are refused.
      await waitFor("a call", async () => (await fetch(`${api}/v1.0/invoke/probed/method/echo`)).status === 200);
    });

    test("metadata says how the app is spoken to", async () => {
      const answer = await fetch(`${calleeApi}/v1.0/metadata`);
      const { appConnectionProperties } = (await answer.json()) as { appConnectionProperties: { protocol: string } };
      assert.equal(appConnectionProperties.protocol, protocol);
    });

    test("an app that is killed is an error, and once it is back it answers again", async (t) => {
      const port = await ownPort();
      const env = { ...process.env, APP_PORT: String(port), APP_SPEAKS: protocol, ...TLS_ENV };
      const start = async (): Promise<number> => {
        const app = spawn(NODE_APP[0], NODE_APP.slice(1), { env, stdio: "ignore" });
        t.after(() => app.kill("SIGKILL"));
        await waitFor("the app to listen", () => accepts(port));
        return app.pid ?? 0;
      };
      const first = await start();
      const { api } = await startBeside(t, "killed", port, { home: ownHome(t), flags: ["--app-protocol", protocol] });
      const url = `${api}/v1.0/invoke/killed/method`;
      const pidIn = async (): Promise<number> => ((await (await fetch(`${url}/echo`)).json()) as { pid: number }).pid;
      assert.equal(await pidIn(), first);
      const running = await Promise.all([1, 2, 3].map(() => fetch(`${url}/download?bytes=${256 * MiB}`)));
      kill(first, "SIGKILL");
      for (const answer of running) await assert.rejects(answer.arrayBuffer());
      await waitFor("the app to be gone", async () => !(await accepts(port)));
      const refused = await fetch(`${url}/echo`);
      assert.equal(refused.status, 500);
      assert.match(await refused.text(), /"ERR_DIRECT_INVOKE".*connection refused/);
      const second = await start();
      assert.equal(await pidIn(), second);
    });
  });
}

async function accepts(port: number): Promise<boolean> {
  const socket = net.connect(port, "127.0.0.1");
  const answer = await Promise.race([
    once(socket, "connect").then(() => true),
    once(socket, "error").then(() => false),
  ]).catch(() => false);
  socket.destroy();
  return answer;
}

async function listening(t: TestContext, server: net.Server): Promise<number> {
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function configuration(t: TestContext, appTls: Readonly<Record<string, string>>): string {
  const spec = { invocation: { appTLS: appTls } };
  const text = JSON.stringify({ apiVersion: "dapr.io/v1alpha1", kind: "Configuration", metadata: { name: "c" }, spec });
  return join(folderWith(t, { "config.yaml": text }), "config.yaml");
}

test("the app's certificate is looked at where the Configuration says whose it must be", async (t) => {
  const seen: string[] = [];
  const server = https.createServer(certificate, (request, response) => {
    seen.push(request.url ?? "");
    response.end("ok");
  });
  const port = await listening(t, server);
  const home = ownHome(t);
  const call = async (appId: string, appTls: Readonly<Record<string, string>>): Promise<readonly [number, string]> => {
    const flags = ["--app-protocol", "https", "--config", configuration(t, appTls)];
    const { api } = await startBeside(t, appId, port, { home, flags });
    const answer = await fetch(`${api}/v1.0/invoke/${appId}/method/${appId}`);
    return [answer.status, await answer.text()];
  };
  assert.deepEqual(await call("known", { caFile: authority.caFile, serverName: "app.test" }), [200, "ok"]);
  const refusals = [
    ["unknown", { caFile: stranger.caFile, serverName: "app.test" }],
    // Its certificate is for a name, and it is reached by an address.
    ["nameless", { caFile: authority.caFile }],
  ] as const;
  for (const [appId, appTls] of refusals) {
    const [status, text] = await call(appId, appTls);
    assert.equal(status, 500);
    assert.match(text, /"errorCode":"ERR_DIRECT_INVOKE".*its certificate is refused: .*spec\.invocation\.appTLS/);
  }
  assert.deepEqual(seen, ["/known"]);
});

const GARBAGE = "220 rubbish\r\n";

/** What an app may speak, beside what it was said to. */
const SPEAKERS: Readonly<Record<string, () => net.Server>> = {
  http: () => http.createServer((_, response) => response.end("http")),
  https: () => https.createServer(certificate, (_, response) => response.end("https")),
  h2c: () => http2.createServer((_, response) => response.end("h2c")),
  garbage: () =>
    net.createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => socket.write(GARBAGE));
    }),
  nothing: () =>
    net.createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => socket.destroy());
    }),
};

test("an app that speaks another protocol than was said: an error that says what was expected, and what to set", async (t) => {
  const ports = new Map<string, number>();
  for (const [name, create] of Object.entries(SPEAKERS)) ports.set(name, await listening(t, create()));
  const said = ["http", "https", "h2c"];
  const apps = said.flatMap((protocol) =>
    [...ports].map(([speaks, appPort]) => ({
      appId: `${speaks}-as-${protocol}`,
      serves: false,
      keys: { appPort: `${appPort}`, appProtocol: protocol },
      speaks,
      protocol,
    })),
  );
  // The same port twice is a mistake in a run file, so each protocol has a process of its own.
  for (const protocol of said) {
    const mine = apps.filter((app) => app.protocol === protocol);
    const specs = mine.map(({ appId, serves, keys }) => ({
      appId,
      serves,
      keys: { appPort: Number(keys.appPort), appProtocol: keys.appProtocol },
    }));
    const host = await startHost(t, ownHome(t), specs);
    for (const { appId, speaks } of mine) {
      const api = await host.api(appId);
      for (const method of ["GET", "POST", "GET"]) {
        const answer = await fetch(`${api}/v1.0/invoke/${appId}/method/x`, { method });
        const text = await answer.text();
        if (speaks === protocol) {
          assert.deepEqual([answer.status, text], [200, protocol], appId);
          continue;
        }
        assert.equal(answer.status, 500, `${appId}: ${text}`);
        assert.match(
          text,
          new RegExp(`"ERR_DIRECT_INVOKE".*; it was spoken to in .*--app-protocol ${protocol} says; if`),
        );
        assert.doesNotMatch(text, /rubbish/, appId);
      }
    }
    assert.equal(await host.outrigger.stop(), 0);
  }
});

test("the older ways to ask for TLS: --app-ssl, and appSSL in a run file", async (t) => {
  const port = await listening(
    t,
    https.createServer(certificate, (_, response) => response.end("over TLS")),
  );
  const { api } = await startBeside(t, "flag", port, { home: ownHome(t), flags: ["--app-ssl"] });
  assert.equal(await (await fetch(`${api}/v1.0/invoke/flag/method/x`)).text(), "over TLS");
  const text = JSON.stringify({ version: 1, apps: [{ appID: "key", appDirPath: ".", appPort: port, appSSL: true }] });
  const home = ownHome(t);
  const outrigger = startOutrigger(t, ["run", "-f", folderWith(t, { "dapr.yaml": text })], { home });
  const own = await outrigger.readyApi("key");
  assert.equal(await (await fetch(`${own}/v1.0/invoke/key/method/x`)).text(), "over TLS");
});
