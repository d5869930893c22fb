import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { PeerConnections } from "./peer-connections.ts";

const MINUTE_MS = 60_000;
const ADDRESS = { host: "10.0.0.7", port: 47_300 };

for (const isConnected of [true, false]) {
  const what = isConnected
    ? "that still carries a call is kept, and cut in the end"
    : "without a connection is forgotten";
  test(`a peer that was not called for three minutes and ${what}`, (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    const clock = new ManualClock();
    let destroyed = 0;
    const peers = new PeerConnections(clock, () => ({
      origin: "http://10.0.0.7:47300",
      send: () => assert.fail("nobody calls"),
      isConnected,
      destroy: () => {
        destroyed++;
      },
    }));
    const peer = peers.at(ADDRESS);
    assert.equal(peer.http2.isConnected, isConnected);
    clock.advance(4 * MINUTE_MS);
    t.mock.timers.tick(MINUTE_MS);
    assert.equal(peers.at(ADDRESS) === peer, isConnected);
    peers.close();
    assert.equal(destroyed, isConnected ? 1 : 0);
  });
}
