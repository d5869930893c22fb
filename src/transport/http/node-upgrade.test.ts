import assert from "node:assert/strict";
import http, { type IncomingMessage } from "node:http";
import { test } from "node:test";
import { upgradeAskedBy, withoutUpgrade } from "./node-upgrade.ts";

function request(headers: Readonly<Record<string, string>>, httpVersion = "1.1"): IncomingMessage {
  const message = new http.IncomingMessage(undefined as never);
  return Object.assign(message, {
    method: "PUT",
    url: "/a?b",
    httpVersion,
    headers,
    rawHeaders: Object.entries(headers).flat(),
  });
}

for (const [upgrade, asked] of [
  ["websocket", { to: "others", protocols: "websocket" }],
  ["WebSocket", { to: "others", protocols: "WebSocket" }],
  ["HTTP/2.0, SHTTP/1.3 ,, IRC/6.9", { to: "others", protocols: "HTTP/2.0, SHTTP/1.3, IRC/6.9" }],
  ["h2c", { to: "h2c" }],
  ["H2C", { to: "h2c" }],
  ["h2c, websocket", { to: "others", protocols: "websocket" }],
  ["", undefined],
  ["h2c, h2c", undefined],
  ['"quoted", a b, c/d/e, /x', undefined],
] as const) {
  test(`Upgrade: ${upgrade} asks for ${JSON.stringify(asked)}`, () => {
    assert.deepEqual(upgradeAskedBy(request({ upgrade })), asked);
  });
}

test("HTTP/1.0 and requests with a body ask for nothing", () => {
  assert.equal(upgradeAskedBy(request({ upgrade: "websocket" }, "1.0")), undefined);
  assert.equal(upgradeAskedBy(request({ upgrade: "websocket", "content-length": "1" })), undefined);
  assert.equal(upgradeAskedBy(request({ upgrade: "h2c", "transfer-encoding": "chunked" })), undefined);
  assert.deepEqual(upgradeAskedBy(request({ upgrade: "h2c", "content-length": "0" })), { to: "h2c" });
});

test("a request without its Upgrade is otherwise the same, byte for byte", () => {
  const bytes = withoutUpgrade(request({ Host: "x", UPGRADE: "y", Connection: "Upgrade", "X-A": "caf\xe9" }));
  assert.equal(bytes.toString("latin1"), "PUT /a?b HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nX-A: caf\xe9\r\n\r\n");
});
