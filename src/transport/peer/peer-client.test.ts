import assert from "node:assert/strict";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { test } from "node:test";
import type { AppInstance } from "../../components/contract/name-resolver.ts";
import { parseAppId, parseNamespace } from "../../core/app-id.ts";
import { CallAbort } from "../../core/call-signal.ts";
import type { Clock } from "../../core/clock.ts";
import type { Logger } from "../../core/logger.ts";
import type { RequestMessage } from "../../core/message.ts";
import { upstreamFactory } from "../upstream/upstream-factory.ts";
import { PeerClient } from "./peer-client.ts";

const clock: Clock = { now: () => 0, monotonic: () => 0, sleep: () => Promise.resolve() };
const ignore = (): void => undefined;
const log: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };

const request = (): RequestMessage => ({
  method: "GET",
  path: "/",
  query: undefined,
  headers: [],
  body: undefined,
  contentLength: 0,
  signal: new CallAbort(),
});

function instanceAt(port: number): AppInstance {
  const app = { id: parseAppId("callee"), namespace: parseNamespace("default") };
  return { app, instanceId: "one", host: "127.0.0.1", port, wire: "lean" };
}

for (const codec of ["lean", "node"] as const) {
  test(`a peer that breaks off is not asked for an upgrade again; one that was never reached may be (${codec})`, async (t) => {
    const peers = new PeerClient(clock, upstreamFactory({ codec, clock, log }));
    t.after(() => {
      peers.close();
    });
    const leaving = net.createServer((socket) => socket.once("data", () => socket.destroy()));
    leaving.listen(0, "127.0.0.1");
    await once(leaving, "listening");
    const instance = instanceAt((leaving.address() as AddressInfo).port);
    const upgrade = { ...request(), upgrade: "raw/1" };
    await assert.rejects(peers.call(instance, upgrade), { code: "Internal", message: /closed before the answer/ });
    await assert.rejects(peers.call(instance, request()), { code: "Unavailable" });
    leaving.close();
    await once(leaving, "close");
    await assert.rejects(peers.call(instance, upgrade), { code: "Unavailable", message: /connection refused/ });
  });
}
