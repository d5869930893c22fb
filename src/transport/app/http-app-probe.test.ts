import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import { CallAbort } from "../../core/call-signal.ts";
import { CallError } from "../../core/errors.ts";
import type { Body, RequestMessage } from "../../core/message.ts";
import type { AppChannel } from "../../invocation/ports.ts";
import { HttpAppProbe } from "./http-app-probe.ts";

const patient = new CallAbort();

/** An app that answers so, or fails. */
function appWith(answer: number | Error, body?: Body): AppChannel & { readonly received: RequestMessage[] } {
  const received: RequestMessage[] = [];
  return {
    received,
    call: (request) => {
      received.push(request);
      if (answer instanceof Error) return Promise.reject(answer);
      return Promise.resolve({ status: answer, statusText: "", headers: [], body });
    },
  };
}

for (const status of [200, 204, 299]) {
  test(`an app that answers ${status} is well`, async () => {
    assert.equal(await new HttpAppProbe(appWith(status), "/healthz").ask(patient), undefined);
  });
}

for (const status of [199, 300, 302, 404, 500, 503]) {
  test(`an app that answers ${status} is not, and the answer is the reason`, async () => {
    const reason = await new HttpAppProbe(appWith(status), "/healthz").ask(patient);
    assert.equal(reason, `GET /healthz was answered ${status}`);
  });
}

test("the app gets a GET of the path, with its query, and nothing else", async () => {
  const app = appWith(200);
  await new HttpAppProbe(app, "/up?deep=1?2").ask(patient);
  assert.deepEqual(app.received, [
    {
      method: "GET",
      path: "/up",
      query: "deep=1?2",
      headers: [],
      body: undefined,
      contentLength: undefined,
      signal: patient,
    },
  ]);
});

test("of an app that cannot be reached, the reason is what the connection said", async () => {
  const cause = new Error("http://127.0.0.1:1: connection refused");
  const app = appWith(new CallError("Internal", "error invoking app channel", { cause }));
  const reason = await new HttpAppProbe(app, "/healthz").ask(patient);
  assert.equal(reason, "GET /healthz: http://127.0.0.1:1: connection refused");
});

test("a failure without a cause is its own reason", async () => {
  const reason = await new HttpAppProbe(appWith(new Error("odd")), "/healthz").ask(patient);
  assert.equal(reason, "GET /healthz: odd");
});

test("a probe that was called off says so, and nothing about the app", async () => {
  const signal = new CallAbort();
  signal.abort(new Error("no answer within 500 ms"));
  await assert.rejects(new HttpAppProbe(appWith(new Error("cut")), "/healthz").ask(signal), {
    message: "no answer within 500 ms",
  });
});

test("what the app says beside its status is read and dropped", async () => {
  const body = Readable.from([Buffer.from("all "), Buffer.from("is well")]);
  await new HttpAppProbe(appWith(200, body), "/healthz").ask(patient);
  await new Promise((resolve) => body.once("close", resolve));
  assert.equal(body.readableEnded, true);
});

test("an answer that breaks after its head was an answer", async () => {
  const body = new Readable({ read: () => undefined });
  assert.equal(await new HttpAppProbe(appWith(200, body), "/healthz").ask(patient), undefined);
  body.destroy(new Error("broken"));
  await new Promise((resolve) => body.once("close", resolve));
});
