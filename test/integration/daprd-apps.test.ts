import assert from "node:assert/strict";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { status as GRPC } from "@grpc/grpc-js";
import type { TestScope } from "../support/cleanup.ts";
import { DaprdCaller, requestFor } from "../support/daprd-peer.ts";
import { ownHome, type RunningApp, startBeside } from "../support/processes.ts";

/** Apps behind Outrigger that daprd's calls reach, and what of them is told to whom. */

function internal({ listed }: RunningApp): string {
  return `127.0.0.1:${listed.internalPort}`;
}

/** An app that answers with these bytes, whatever it is asked, and then breaks off. */
async function startBreakingApp(t: TestScope, answer: string): Promise<number> {
  const server = net.createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => {
      socket.end(answer);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

describe("a daprd calls an app behind Outrigger", { concurrency: 2, timeout: 120_000 }, () => {
  test("that breaks off at once: the daprd is told so, and the log keeps quiet", async (t) => {
    const port = await startBreakingApp(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    const callee = await startBeside(t, "math", port, { home: ownHome(t) });
    const caller = new DaprdCaller(t, internal(callee));
    const refused = { code: GRPC.INTERNAL, message: /error invoking app channel: / };
    await assert.rejects(caller.callLocal(requestFor("x")), refused);
    const { status } = await caller.callLocalStream([{ request: requestFor("x") }]);
    assert.equal(status.code, GRPC.INTERNAL);
    assert.match(status.details, /error invoking app channel: /);
    assert.doesNotMatch(callee.outrigger.output, /inside Outrigger/);
  });

  test("with a header that no message can have: it is refused, and the log keeps quiet", async (t) => {
    const port = await startBreakingApp(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    const callee = await startBeside(t, "math", port, { home: ownHome(t) });
    const caller = new DaprdCaller(t, internal(callee));
    const request = requestFor("x", { headers: { "X-Mine": ["a\r\nX-Evil: 1"] } });
    await assert.rejects(caller.callLocal(request), { code: GRPC.INVALID_ARGUMENT, message: /the header X-Mine/ });
    assert.doesNotMatch(callee.outrigger.output, /inside Outrigger/);
  });
});
