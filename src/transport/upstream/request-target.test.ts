import assert from "node:assert/strict";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { test } from "node:test";
import { countMalformed, optionsFor, requestMessage, type Sent } from "../../../test/support/upstream.ts";
import { PlainDialer } from "./dialer.ts";
import { Http2Upstream } from "./http2-upstream.ts";
import { LeanUpstream } from "./lean-upstream.ts";
import { NodeUpstream, plainWire } from "./node-upstream.ts";
import type { Upstream, UpstreamOptions } from "./upstream.ts";

/** The last wall: what would make another request of a request, or a second one, is written by no upstream. */

const UPSTREAMS: Readonly<Record<string, (options: UpstreamOptions) => Upstream>> = {
  lean: (options) => new LeanUpstream(options, countMalformed(), new PlainDialer(options)),
  "Node's": (options) => new NodeUpstream(options, countMalformed(), plainWire(options)),
  "HTTP/2": (options) => new Http2Upstream({ ...options, wire: { kind: "h2c" } }, countMalformed()),
};

const SENT: readonly Sent[] = [
  { query: "a HTTP/1.1\r\nHost: x\r\n\r\nDELETE /admin HTTP/1.1\r\nX: " },
  { query: "\u010d\u010a" },
  { query: "a b" },
  { path: "/a b" },
  { path: "/a\r\nb" },
  { path: "http://elsewhere/" },
  { path: "*" },
  { method: "GET /x" },
  { method: "GET\r\n" },
  { method: "" },
];

for (const [name, create] of Object.entries(UPSTREAMS)) {
  test(`${name} upstream writes no request line that could be read in another way`, async (t) => {
    let connections = 0;
    const server = net.createServer((socket) => {
      connections++;
      socket.destroy();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const upstream = create(optionsFor((server.address() as AddressInfo).port));
    t.after(() => {
      upstream.destroy();
      server.close();
    });
    for (const sent of SENT) {
      await assert.rejects(upstream.send(requestMessage(sent)), { code: "InvalidArgument" }, JSON.stringify(sent));
    }
    assert.equal(connections, 0);
  });
}
