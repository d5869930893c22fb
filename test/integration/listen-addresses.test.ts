import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { ownPort } from "../support/own-port.ts";
import { ended, ownHome, runToEnd, startBeside } from "../support/processes.ts";
import { startInTestApp } from "../support/raw-http-app.ts";

/** `--dapr-listen-addresses`: the APIs listen on every address that is named, and a slip in one is not passed over. */

const hasIPv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"));

test("the API is on every address, with one port, and on no other", { timeout: 60_000 }, async (t) => {
  const app = await startInTestApp(t);
  const addresses = hasIPv6 ? "127.0.0.2, [::1],,127.0.0.3,127.0.0.2,::1" : "127.0.0.2, ,127.0.0.3,127.0.0.2";
  const flags = ["--dapr-listen-addresses", addresses];
  const { api, listed } = await startBeside(t, "callee", app.port, { home: ownHome(t), flags });
  assert.equal(api, `http://127.0.0.2:${listed.httpPort}`);
  for (const host of ["127.0.0.2", "127.0.0.3", ...(hasIPv6 ? ["[::1]"] : [])]) {
    const response = await fetch(`http://${host}:${listed.httpPort}/v1.0/invoke/callee/method/x`);
    assert.deepEqual([host, response.status], [host, 200]);
  }
  await assert.rejects(fetch(`http://127.0.0.1:${listed.httpPort}/v1.0/healthz`));
});

test("addresses that stand for one another are no clash", { timeout: 60_000 }, async (t) => {
  for (const addresses of ["0.0.0.0,127.0.0.1", "localhost,127.0.0.1,localhost"]) {
    const flags = ["--dapr-listen-addresses", addresses];
    const { api, outrigger } = await startBeside(t, "callee", undefined, { home: ownHome(t), flags });
    assert.equal((await fetch(`${api}/v1.0/healthz`)).status, 204);
    await outrigger.stop();
  }
});

test("an address that cannot be had is named, also where others can", { timeout: 60_000 }, async (t) => {
  // TEST-NET-1 (RFC 5737), a documentation address of IPv6 (RFC 3849), and a name that leads nowhere (RFC 6761).
  for (const [address, shown] of [
    ["192.0.2.1", "192\\.0\\.2\\.1"],
    ["[2001:db8::1]", "\\[2001:db8::1\\]"],
    ["nowhere.invalid", "nowhere\\.invalid"],
  ] as const) {
    const flags = ["--dapr-listen-addresses", `127.0.0.1,${address}`];
    const { code, stderr } = await runToEnd(t, ["run", "-a", "x", ...flags], { home: ownHome(t) });
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`^outrigger: cannot listen on ${shown}:\\d+ for the HTTP API of x: .+\n$`));
  }
});

test("a port that is taken on one of the addresses is named with that address", { timeout: 60_000 }, async (t) => {
  const port = String(await ownPort());
  const taking = ["--dapr-http-port", port, "--dapr-listen-addresses"];
  const first = await startBeside(t, "first", undefined, { home: ownHome(t), flags: [...taking, "127.0.0.3"] });
  const second = await runToEnd(t, ["run", "-a", "second", ...taking, "127.0.0.2,127.0.0.3"], { home: ownHome(t) });
  assert.equal(second.code, 1);
  assert.match(
    second.stderr,
    new RegExp(`cannot listen on 127\\.0\\.0\\.3:${port} for the HTTP API of second: the port`),
  );
  await first.outrigger.stop();
  await ended(first.outrigger);
});
