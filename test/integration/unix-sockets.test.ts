import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, type TestContext, test } from "node:test";
import type { TestScope } from "../support/cleanup.ts";
import { curl, curlAnswer } from "../support/curl.ts";
import { callH2 } from "../support/h2-client.ts";
import { listApps, startOutrigger } from "../support/outrigger.ts";
import { ownPort } from "../support/own-port.ts";
import {
  ended,
  folderWith,
  kill,
  nothingRunsUnder,
  ownHome,
  type RunningApp,
  runToEnd,
  startBeside,
  startWithApp,
  whenReady,
} from "../support/processes.ts";
import { beginRaw, frame, rawAnswer } from "../support/raw-grpc.ts";
import { firstAnswers, RawConnection } from "../support/raw-http.ts";
import { type InTestApp, startInTestApp } from "../support/raw-http-app.ts";

/** `--unix-domain-socket`: the APIs on sockets instead of ports, and all else as it is over ports. */

// The path of a socket is short, and so is the tests' folder for it.
function socketFolder(t: TestScope): string {
  const folder = mkdtempSync(join(tmpdir(), "or-"));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

interface OnSocket {
  readonly folder: string;
  readonly socket: string;
  readonly app: InTestApp;
  readonly callee: RunningApp;
}

async function startOnSocket(
  t: TestContext,
  options: {
    readonly flags?: readonly string[];
    readonly env?: NodeJS.ProcessEnv;
    readonly handle?: Parameters<typeof startInTestApp>[1];
  } = {},
): Promise<OnSocket> {
  const folder = socketFolder(t);
  const app = await startInTestApp(t, options.handle);
  const flags = ["--unix-domain-socket", folder, ...(options.flags ?? [])];
  const callee = await startBeside(t, "callee", app.port, { home: ownHome(t), flags, env: options.env ?? {} });
  return { folder, socket: join(folder, "dapr-callee-http.socket"), app, callee };
}

const METHOD = "http://localhost/v1.0/invoke/callee/method";

suite("the HTTP API on a Unix socket", { concurrency: 2, timeout: 240_000 }, () => {
  test("curl calls, again and again on one connection, and no port is listened on", async (t) => {
    const { folder, socket, app, callee } = await startOnSocket(t);
    const args = ["--unix-socket", socket, "--write-out", " %{http_code} %{num_connects}\n"];
    const text = await curl(...args, `${METHOD}/one`, "--data", "a body", `${METHOD}/two`, `${METHOD}/three`);
    assert.deepEqual(text.trimEnd().split("\n"), ["ok 200 1", "ok 200 0", "ok 200 0"]);
    assert.deepEqual(app.begun, ["POST /one", "POST /two", "POST /three"]);
    assert.equal(app.whole[0]?.body, "a body");
    assert.deepEqual(readdirSync(folder).sort(), ["dapr-callee-grpc.socket", "dapr-callee-http.socket"]);
    for (const name of readdirSync(folder)) assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600);
    const { httpPort, grpcPort, apiHost, httpSocket, grpcSocket } = callee.listed;
    assert.deepEqual([httpPort, grpcPort, apiHost], [undefined, undefined, undefined]);
    assert.deepEqual([httpSocket, grpcSocket], [socket, join(folder, "dapr-callee-grpc.socket")]);
  });

  test("bodies stream both ways, piece by piece", async (t) => {
    const folder = socketFolder(t);
    const socket = join(folder, "dapr-callee-http.socket");
    const app = http.createServer((request, response) => request.pipe(response));
    app.listen(0, "127.0.0.1");
    await once(app, "listening");
    t.after(() => {
      app.close();
      app.closeAllConnections();
    });
    const { port } = app.address() as net.AddressInfo;
    await startBeside(t, "callee", port, { home: ownHome(t), flags: ["-u", folder] });
    const options = { socketPath: socket, path: "/v1.0/invoke/callee/method/echo", method: "POST" };
    const request = http.request(options);
    // The app's answer begins with the first piece.
    request.write("first");
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    for (const piece of ["first", "second", "third"]) {
      if (piece !== "first") request.write(piece);
      const [echoed] = (await once(response, "data")) as [Buffer];
      assert.equal(echoed.toString(), piece);
    }
    request.end();
    response.resume();
    await once(response, "end");
  });

  test("HTTP/2 is spoken to who knows beforehand", async (t) => {
    const { socket, app } = await startOnSocket(t);
    const version = ["--http2-prior-knowledge", "--unix-socket", socket, "--write-out", " %{http_version}"];
    assert.equal(await curl(...version, `${METHOD}/h2`), "ok 2");
    const session = http2.connect("http://localhost", { createConnection: () => net.connect({ path: socket }) });
    t.after(() => {
      session.destroy();
    });
    const paths = Array.from({ length: 20 }, (_, index) => `/v1.0/invoke/callee/method/h2/${index}`);
    const answers = await Promise.all(paths.map((path) => callH2(session, { path })));
    assert.deepEqual(
      answers.map(({ status, body }) => `${status ?? 0} ${body.toString()}`),
      paths.map(() => "200 ok"),
    );
    assert.equal(app.whole.length, 21);
  });

  test("limits hold", async (t) => {
    const { socket, app } = await startOnSocket(t, { flags: ["--max-body-size", "1Ki", "--read-buffer-size", "1Ki"] });
    const post = `POST /v1.0/invoke/callee/method/x HTTP/1.1\r\nHost: x\r\n`;
    const [large] = await firstAnswers(t, socket, `${post}Content-Length: 1025\r\n\r\n${"x".repeat(1025)}`, 1);
    assert.equal(large?.status, 413);
    const [long] = await firstAnswers(t, socket, `${post}X: ${"x".repeat(8192)}\r\n\r\n`, 1);
    assert.equal(long?.status, 431);
    const [malformed] = await firstAnswers(t, socket, "GET / HTTP/1.1\nHost: x\n\n", 1);
    assert.equal(malformed?.status, 400);
    assert.deepEqual(app.begun, []);
  });

  test("the API token is asked for", async (t) => {
    const { socket } = await startOnSocket(t, { env: { DAPR_API_TOKEN: "secret" } });
    const without = await curlAnswer("--unix-socket", socket, `${METHOD}/x`);
    assert.deepEqual([without.status, without.body], [401, "invalid api token\n"]);
    const brought = await curlAnswer("--unix-socket", socket, "--header", "dapr-api-token: secret", `${METHOD}/x`);
    assert.deepEqual([brought.status, brought.body], [200, "ok"]);
    const health = await curlAnswer("--unix-socket", socket, "http://localhost/v1.0/healthz");
    assert.equal(health.status, 204);
  });

  test("who waits to be invited to send a body is invited", async (t) => {
    const { socket, app } = await startOnSocket(t);
    const connection = await RawConnection.open(t, socket);
    const head = "Host: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    connection.write(`POST /v1.0/invoke/callee/method/x HTTP/1.1\r\n${head}`);
    await connection.waitForText(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
    connection.write("body");
    await connection.waitForText(/HTTP\/1\.1 200 OK\r\n[^]*ok$/);
    assert.equal(app.whole[0]?.body, "body");
  });

  test("an answer to HTTP/1.0 that breaks off ends its connection and nothing else", async (t) => {
    const { socket } = await startOnSocket(t, {
      handle: (_, response) => {
        response.write("some");
        setImmediate(() => response.destroy());
      },
    });
    const connection = await RawConnection.open(t, socket);
    connection.write("GET /v1.0/invoke/callee/method/x HTTP/1.0\r\nHost: x\r\n\r\n");
    await connection.waitForClose();
    const health = await curlAnswer("--unix-socket", socket, "http://localhost/v1.0/healthz");
    assert.equal(health.status, 204);
  });

  test("other sidecars reach the app, and it reaches them", async (t) => {
    const home = ownHome(t);
    const [folder, app] = [socketFolder(t), await startInTestApp(t)];
    await startBeside(t, "callee", app.port, { home, flags: ["-u", folder] });
    const caller = await startBeside(t, "caller", undefined, { home });
    assert.equal((await fetch(`${caller.api}/v1.0/invoke/callee/method/in`)).status, 200);
    const other = await startInTestApp(t);
    await startBeside(t, "other", other.port, { home });
    const url = "http://localhost/v1.0/invoke/other/method/out";
    assert.equal(await curl("--unix-socket", join(folder, "dapr-callee-http.socket"), url), "ok");
    assert.deepEqual([app.begun, other.begun], [["GET /in"], ["GET /out"]]);
  });
});

test("the gRPC API is on a socket of its own", { timeout: 120_000 }, async (t) => {
  const { folder } = await startOnSocket(t);
  const socket = join(folder, "dapr-callee-grpc.socket");
  const session = http2.connect("http://localhost", { createConnection: () => net.connect({ path: socket }) });
  t.after(() => {
    session.destroy();
  });
  const stream = beginRaw(session, "/dapr.proto.runtime.v1.Dapr/GetMetadata", {});
  stream.end(frame(""));
  const { status, body } = await rawAnswer(stream);
  assert.equal(status, "0");
  assert.match(body.toString("latin1"), /callee/);
});

suite("the command line and Unix sockets", { concurrency: 2, timeout: 240_000 }, () => {
  test("an app is told the sockets and no port, not even those of the shell it was started from", async (t) => {
    const folder = socketFolder(t);
    const print = `console.log(JSON.stringify(Object.entries(process.env).filter(([name]) => /^DAPR_(?!METRICS)/.test(name))))`;
    const run = await runToEnd(t, ["run", "-a", "told", "-u", folder, "--", process.execPath, "-e", print], {
      home: ownHome(t),
      env: { DAPR_HTTP_PORT: "3500", DAPR_GRPC_PORT: "50001" },
    });
    const [, told = "[]"] = /^told │ (\[.*\])$/m.exec(run.stdout) ?? [];
    assert.deepEqual(Object.fromEntries(JSON.parse(told) as [string, string][]), {
      DAPR_HTTP_ENDPOINT: `unix://${folder}/dapr-told-http.socket`,
      DAPR_GRPC_ENDPOINT: `unix://${folder}/dapr-told-grpc.socket`,
    });
  });

  test("run shows how to call it", async (t) => {
    const { socket, callee, app } = await startOnSocket(t);
    const [, command = ""] = /Call it: +curl (.*)<path>/.exec(callee.outrigger.stdout) ?? [];
    assert.match(command, new RegExp(`^--unix-socket ${socket} http://localhost/`));
    assert.equal(await curl(...`${command}shown`.split(" ")), "ok");
    assert.deepEqual(app.begun, ["GET /shown"]);
  });

  test("list, invoke and stop work, and stop leaves no socket behind", async (t) => {
    const [folder, home] = [socketFolder(t), ownHome(t)];
    const { outrigger } = await startWithApp(t, "ending", await ownPort(), { home, flags: ["-u", folder] });
    const listed = await runToEnd(t, ["list"], { home });
    assert.match(listed.stdout, /^ending +default +- +- +\d+ /m);
    const invoked = await runToEnd(t, ["invoke", "-a", "ending", "-m", "where", "-v", "GET"], { home });
    assert.equal(invoked.code, 0, invoked.stderr);
    assert.match(invoked.stdout, /"pid":\d+/);
    const stopped = await runToEnd(t, ["stop", "ending"], { home });
    assert.deepEqual([stopped.code, stopped.stdout], [0, "ending has ended.\n"], stopped.stderr);
    assert.equal((await ended(outrigger)).code, 0);
    await nothingRunsUnder(home);
    assert.deepEqual(readdirSync(folder), []);
  });

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    test(`${signal} leaves no socket behind`, async (t) => {
      const { folder, callee } = await startOnSocket(t);
      await callee.outrigger.stop(signal);
      assert.deepEqual(readdirSync(folder), []);
    });
  }

  test("a sidecar that was killed is no hindrance to the next", async (t) => {
    const { folder, socket, app, callee } = await startOnSocket(t);
    kill(callee.outrigger.pid, "SIGKILL");
    await ended(callee.outrigger);
    assert.ok(existsSync(socket));
    await startBeside(t, "callee", app.port, { home: ownHome(t), flags: ["-u", folder] });
    assert.equal(await curl("--unix-socket", socket, `${METHOD}/again`), "ok");
  });

  test("a socket that is in use stays its holder's, who is named", async (t) => {
    const { folder, socket, app, callee } = await startOnSocket(t);
    const second = await runToEnd(t, ["run", "-a", "callee", "-p", String(app.port), "-u", folder], {
      home: ownHome(t),
    });
    assert.equal(second.code, 1);
    const says = `outrigger: cannot listen on ${socket} for the HTTP API of callee: process ${callee.outrigger.pid} \\(.+\\) listens on it; choose another directory with --unix-domain-socket\n`;
    assert.match(second.stderr, new RegExp(`^${says}$`));
    assert.equal(await curl("--unix-socket", socket, `${METHOD}/still`), "ok");
  });

  test("a directory that will not do is refused in one line", async (t) => {
    const folder = socketFolder(t);
    const file = join(folder, "file");
    writeFileSync(file, "");
    const refused: readonly [directory: string, why: RegExp][] = [
      [file, /what should be its directory is a file; /],
      [join(file, "below"), /what should be its directory is a file; /],
      [join(folder, "x".repeat(100)), /its path has \d+ bytes, and this system allows \d+; /],
    ];
    for (const [directory, why] of refused) {
      const { code, stderr } = await runToEnd(t, ["run", "-a", "x", "-u", directory], { home: ownHome(t) });
      assert.equal(code, 1);
      assert.match(stderr, why);
      assert.match(stderr, /^outrigger: cannot listen on .*-http\.socket .*--unix-domain-socket\n$/);
    }
  });

  test("a directory that is not there is made", async (t) => {
    const folder = join(socketFolder(t), "not", "there");
    const home = ownHome(t);
    await startBeside(t, "maker", undefined, { home, flags: ["-u", folder] });
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    assert.equal(readdirSync(folder).length, 2);
  });

  test("sidecar --wait waits for the socket", async (t) => {
    const [folder, home] = [socketFolder(t), ownHome(t)];
    const flags = ["--app-id", "awaited", "--unix-domain-socket", folder];
    const waiting = startOutrigger(t, ["sidecar", "--wait", ...flags], { home });
    const sidecar = startOutrigger(t, ["sidecar", ...flags], { home });
    assert.equal(await waiting.exited(), 0, waiting.output);
    await sidecar.waitForOutput(new RegExp(`http=.*${folder}/dapr-awaited-http\\.socket`));
    const nameless = await runToEnd(t, ["sidecar", "--wait", "-u", folder], { home });
    assert.equal(nameless.code, 1);
    assert.match(nameless.stderr, /^outrigger: --app-id is missing: .*\n$/);
  });

  test("a run file gives each app a directory, which counts from the app's own", async (t) => {
    const [folder, home, app] = [socketFolder(t), ownHome(t), await startInTestApp(t)];
    const apps = [
      { appID: "one", appDirPath: folder, unixDomainSocket: "sockets" },
      { appID: "two", appDirPath: ".", appPort: app.port, unixDomainSocket: join(folder, "sockets") },
    ];
    const files = folderWith(t, { "dapr.yaml": JSON.stringify({ version: 1, apps }) });
    const running = startOutrigger(t, ["run", "-f", join(files, "dapr.yaml")], { home });
    await whenReady(running, "two");
    const listed = await listApps(home);
    assert.deepEqual(listed.map(({ httpSocket }) => httpSocket).sort(), [
      join(folder, "sockets/dapr-one-http.socket"),
      join(folder, "sockets/dapr-two-http.socket"),
    ]);
    const url = "http://localhost/v1.0/invoke/two/method/x";
    assert.equal(await curl("--unix-socket", join(folder, "sockets/dapr-one-http.socket"), url), "ok");
    assert.equal(await running.stop(), 0);
    assert.deepEqual(readdirSync(join(folder, "sockets")), []);
  });
});
