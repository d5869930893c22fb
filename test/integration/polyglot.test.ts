import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { after, suite, test } from "node:test";
import { buildApps, type CallerResult, callerResultIn, LANGUAGES, startCallee, startHost } from "../support/apps.ts";
import { startOutrigger } from "../support/outrigger.ts";
import { ended, ownHome } from "../support/processes.ts";
import { waitFor } from "../support/wait.ts";

/** What every caller checks, in whatever language it is written. */
const CHECKS = [
  ...["get", "post", "put", "patch", "delete", "options", "head"].map((verb) => `echo-${verb}`),
  ...[200, 201, 202, 204, 301, 302, 400, 401, 403, 404, 409, 418, 429, 500, 502, 503].map((code) => `status-${code}`),
  ...["repeated-headers", "add", "slow"],
  ...["upload-known", "upload-chunked", "download-known", "download-chunked", "dies-known", "dies-chunked"],
];
const ROUNDS = 2;
const CALLS = CHECKS.length * ROUNDS;

const apps = await buildApps({ after });

function assertAllRight(result: CallerResult | undefined): void {
  assert.ok(result, "the caller printed its result");
  assert.deepEqual(result.failures, []);
  assert.deepEqual(result.checks, Object.fromEntries(CHECKS.map((check) => [check, ROUNDS])));
}

for (const callee of LANGUAGES) {
  suite(`an app in ${callee}`, () => {
    for (const caller of LANGUAGES) {
      test(`answers one in ${caller}, each behind a process of its own`, async (t) => {
        const home = ownHome(t);
        await startCallee(t, { home, appId: "callee", command: apps.serve(callee) });
        const args = ["run", "--app-id", "caller", "--", ...apps.call(caller, "callee", CALLS)];
        const { code, stdout, stderr } = await ended(startOutrigger(t, args, { home }));
        assertAllRight(callerResultIn(stdout));
        assert.equal(code, 0, stderr);
      });

      test(`answers one in ${caller}, both behind one process`, async (t) => {
        const home = ownHome(t);
        const host = await startHost(t, home, [
          { appId: "callee", command: apps.serve(callee), serves: true },
          { appId: "caller", command: apps.call(caller, "callee", CALLS), serves: false },
        ]);
        // Only found where it is this very process that holds the callee.
        await host.callee("callee");
        const result = await waitFor(`the caller's result; output:\n${host.outrigger.output}`, () => {
          return callerResultIn(host.outrigger.stdout);
        });
        assertAllRight(result);
      });
    }
  });
}

for (const caller of LANGUAGES) {
  test(`the ${caller} caller of these tests notices wrong answers`, async (t) => {
    const server = http.createServer((request, response) => {
      request.resume();
      response.writeHead(299, { "Content-Type": "application/json" }).end("{}");
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => {
      server.close();
      server.closeAllConnections();
    });
    const { port } = server.address() as AddressInfo;
    const [program, ...args] = apps.call(caller, "callee", CHECKS.length);
    const env = { ...process.env, DAPR_HTTP_ENDPOINT: `http://127.0.0.1:${port}`, APP_ID: "caller" };
    const child = execFile(program, args, { env });
    let stdout = "";
    child.stdout?.on("data", (chunk: string) => {
      stdout += chunk;
    });
    const [code] = (await once(child, "close")) as [number];
    const failed = callerResultIn(stdout)?.failures.map((failure) => failure.split(":", 1)[0]);
    assert.deepEqual(failed, CHECKS);
    assert.equal(code, 1);
  });
}
