import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { type TestContext, test } from "node:test";
import { startEchoService } from "../support/echo-service.ts";
import { kill, ownHome, startBeside } from "../support/processes.ts";
import { beginRaw, connectRaw, frame, rawAnswer, startRawGrpcApp } from "../support/raw-grpc.ts";
import { waitFor } from "../support/wait.ts";

/** What becomes of a proxied call whose callee's sidecar is killed before it has answered, where another instance runs. */

/** Two instances of one app: one that never answers, and one that does. */
async function startTwoInstances(t: TestContext) {
  const home = ownHome(t);
  const flags = ["--app-protocol", "grpc"];
  const silent = await startRawGrpcApp(t, () => undefined);
  const answering = await startEchoService(t);
  const doomed = await startBeside(t, "echo", silent.port, { home, flags });
  await startBeside(t, "echo", answering.port, { home, flags });
  const { listed } = await startBeside(t, "caller", undefined, { home });
  const session = connectRaw(t, listed.grpcPort);
  /** A call that has arrived, with these messages, at the instance that never answers; the other answers at once. */
  const stuck = async (method: "Unary" | "Bidi", messages: readonly string[]) => {
    for (let tries = 0; tries < 20; tries++) {
      const stream = beginRaw(session, `/demo.v1.Echo/${method}`, { "dapr-app-id": "echo" });
      for (const message of messages) stream.write(frame(message));
      if (method === "Unary") stream.end();
      let isAnswered = false;
      stream.once("response", () => {
        isAnswered = true;
      });
      await waitFor("the call to arrive", () => silent.open.size > 0 || isAnswered);
      if (silent.open.size > 0) return stream;
      const closed = once(stream, "close");
      stream.close(http2.constants.NGHTTP2_CANCEL);
      await closed;
    }
    return assert.fail("no call came to the first instance");
  };
  const killSidecar = (): void => {
    kill(doomed.outrigger.pid, "SIGKILL");
  };
  return { stuck, killSidecar };
}

test("a call of one message is made again, at an instance that answers", async (t) => {
  const { stuck, killSidecar } = await startTwoInstances(t);
  const stream = await stuck("Unary", ["once"]);
  const answer = rawAnswer(stream);
  killSidecar();
  const { status, body } = await answer;
  assert.equal(status, "0");
  assert.deepEqual(body, frame("once"));
});

test("a call that has sent more than one message is not, and ends UNAVAILABLE", async (t) => {
  const { stuck, killSidecar } = await startTwoInstances(t);
  const stream = await stuck("Bidi", ["first", "second"]);
  const answer = rawAnswer(stream);
  killSidecar();
  assert.equal((await answer).status, "14");
});
