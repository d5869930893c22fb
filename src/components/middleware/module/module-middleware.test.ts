import assert from "node:assert/strict";
import { utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { type TestContext, test } from "node:test";
import { metadataWith } from "../../../../test/support/component-metadata.ts";
import {
  anAnswer,
  aRequest,
  middlewareContext,
  testMiddlewareContract,
  textOf,
} from "../../../../test/support/middleware-contract.ts";
import { ROOT } from "../../../../test/support/outrigger.ts";
import { folderWith } from "../../../../test/support/processes.ts";
import type { ResponseMessage } from "../../../core/message.ts";
import type { MiddlewareNext } from "../../contract/middleware.ts";
import { ModuleMiddleware } from "./module-middleware.ts";

testMiddlewareContract("module", {
  create: (context) => new ModuleMiddleware(context),
  file: join(ROOT, "examples/middleware/resources/api-key.yaml"),
  fields: { path: "../api-key.mjs", keys: "one, two", header: "x-key" },
  headers: ["X-Key", "two"],
  unusable: { path: "missing.mjs" },
});

/** A middleware of this text, ready. */
async function ready(
  t: TestContext,
  text: string,
  fields: Readonly<Record<string, string>> = {},
): Promise<ModuleMiddleware> {
  const folder = folderWith(t, { "m.mjs": text });
  const middleware = new ModuleMiddleware(middlewareContext());
  await middleware.init(await metadataWith({ path: "m.mjs", ...fields }, join(folder, "component.yaml")));
  return middleware;
}

const answers: MiddlewareNext = () =>
  Promise.resolve(anAnswer({ headers: ["Content-Length", "2"], body: Buffer.from("ok") }));

async function answerOf(t: TestContext, text: string, next = answers): Promise<ResponseMessage> {
  return (await ready(t, text)).handle(aRequest({ body: Buffer.from("mine"), contentLength: 4 }), next);
}

test("a function, also one that answers later, or an object with create makes it", async (t) => {
  const made = `{ handle: () => ({ status: 204 }) }`;
  for (const text of [
    `export default () => (${made})`,
    `export default async () => (${made})`,
    `export default { create() { return this.made; }, made: ${made} }`,
  ]) {
    assert.deepEqual(await answerOf(t, text), anAnswer({ status: 204 }));
  }
});

test("it is told its own fields, and has what it needs to work", async (t) => {
  const text = `export default ({ metadata, clock, log, headerValue, readBody }) => ({
    async handle(request) {
      log.info("called");
      const body = [metadata.get("greeting"), headerValue(request.headers, "x-a"), await readBody(request.body), typeof clock.now()];
      return { status: 200, body: body.join() };
    },
  })`;
  const middleware = await ready(t, text, { greeting: "hello" });
  const answer = await middleware.handle(aRequest({ headers: ["X-A", "1"], body: Buffer.from("b") }), answers);
  assert.equal(textOf(answer.body), "hello,1,b,number");
});

test("another body has its own length, the request's and the answer's", async (t) => {
  const text = `export default () => ({
    async handle(request, next) {
      const answer = await next({ ...request, body: "other body" });
      return { ...answer, body: "changed" };
    },
  })`;
  const seen: unknown[] = [];
  const answer = await answerOf(t, text, (request) => {
    seen.push(textOf(request.body), request.contentLength);
    return answers(request);
  });
  assert.deepEqual(seen, ["other body", 10]);
  assert.deepEqual([answer.headers, textOf(answer.body)], [[], "changed"]);
});

test("an answer of its own is framed by whoever sends it, whatever its headers say", async (t) => {
  const headers = ["Content-Length", "3", "X-A", "1", "transfer-encoding", "chunked", "Connection", "close"];
  const made = `{ handle: () => ({ status: 200, headers: ${JSON.stringify(headers)}, body: "größer" }) }`;
  assert.deepEqual((await answerOf(t, `export default () => (${made})`)).headers, ["X-A", "1"]);
});

test("a request that it passes on says nothing of its own of where the body ends", async (t) => {
  const text = `export default () => ({
    handle: (request, next) => next({ ...request, headers: ["Content-Length", "1", "X-A", "1", "Transfer-Encoding", "chunked"] }),
  })`;
  const seen: unknown[] = [];
  await answerOf(t, text, (request) => {
    seen.push(request.headers);
    return answers(request);
  });
  assert.deepEqual(seen, [["X-A", "1"]]);
});

test("a file that was edited is loaded anew", async (t) => {
  const folder = folderWith(t, {});
  const file = join(folder, "m.mjs");
  const metadata = await metadataWith({ path: "m.mjs" }, join(folder, "component.yaml"));
  const statuses: number[] = [];
  for (const [at, status] of [201, 202, 203].entries()) {
    writeFileSync(file, `export default () => ({ handle: () => ({ status: ${status} }) })`);
    utimesSync(file, 1000 + at, 1000 + at);
    const middleware = new ModuleMiddleware(middlewareContext());
    await middleware.init(metadata);
    statuses.push((await middleware.handle(aRequest(), answers)).status);
  }
  assert.deepEqual(statuses, [201, 202, 203]);
});

test("it is closed once, and what fails then is told", async (t) => {
  const warned: string[] = [];
  const context = middlewareContext();
  const log = { ...context.log, warn: (message: string) => void warned.push(message) };
  const folder = folderWith(t, {
    "m.mjs": `export default () => ({ handle() {}, close() { throw new Error("stuck"); } })`,
  });
  const middleware = new ModuleMiddleware({ ...context, log });
  await middleware.init(await metadataWith({ path: "m.mjs" }, join(folder, "component.yaml")));
  await middleware.close();
  await middleware.close();
  assert.deepEqual(warned, ["a module failed to close"]);
});

const UNUSABLE: readonly (readonly [text: string, why: RegExp])[] = [
  ["export const a = 1;", /m\.mjs has no default export \(it exports a\)/],
  ["", /m\.mjs has no default export \(it exports nothing\)/],
  ["export default 1;", /the default export of .*m\.mjs is no function, nor an object with a function create/],
  ["export default () => 1;", /m\.mjs created no middleware; return an object with a function handle/],
  ["export default () => ({ handle() {}, close: 1 });", /m\.mjs created no middleware/],
  ["export default () => { throw new Error('no key'); };", /m\.mjs failed to create a middleware: no key/],
  ["export default async () => { throw new Error('no key'); };", /m\.mjs failed to create a middleware: no key/],
  ["export default (", /m\.mjs cannot be loaded: /],
  ["import './nowhere.mjs'; export default 1;", /m\.mjs cannot be loaded: .*nowhere\.mjs/],
];

for (const [text, why] of UNUSABLE) {
  test(`a module that cannot be used is named: ${text}`, async (t) => {
    await assert.rejects(ready(t, text), why);
  });
}

test("a file that is not there is named, and a field that is missing", async () => {
  const start = async (fields: Readonly<Record<string, string>>): Promise<void> => {
    await new ModuleMiddleware(middlewareContext()).init(await metadataWith(fields, "/nowhere/component.yaml"));
  };
  await assert.rejects(start({ path: "m.mjs" }), /^Error: \/nowhere\/m\.mjs cannot be loaded: there is no such file$/);
  await assert.rejects(start({}), /metadata field path is missing/);
});

const MISTAKES: readonly (readonly [handle: string, why: RegExp])[] = [
  ["return undefined", /handle answered undefined; return what next gave/],
  ["return { status: '200' }", /the answer's status is '200'; it is a number from 200 to 599/],
  ["return { status: 101 }", /the answer's status is 101/],
  ["return { status: 200, headers: { a: 'b' } }", /the answer's headers are { a: 'b' }; they are a flat list/],
  ["return { status: 200, headers: ['a'] }", /the answer's headers/],
  ["return { status: 200, body: { a: 1 } }", /the answer's body is { a: 1 }; it is a Uint8Array/],
  ["return next()", /next was called without a request/],
  ["return next({ ...request, path: 'x' })", /the request's path is 'x'; it begins with \//],
  ["return next({ ...request, path: '/x?y' })", /the request's path/],
  ["return next({ ...request, query: '?y' + String.fromCharCode(10) })", /the request's query/],
  ["return next({ ...request, method: '' })", /the request's method is ''/],
];

for (const [handle, why] of MISTAKES) {
  test(`a mistake is told where it was made: ${handle}`, async (t) => {
    await assert.rejects(answerOf(t, `export default () => ({ async handle(request, next) { ${handle} } })`), why);
  });
}

test("readBody gives up on a body that is too long", async (t) => {
  const text = `export default ({ readBody }) => ({
    async handle(request) { await readBody(request.body, 3); return { status: 200 }; },
  })`;
  const middleware = await ready(t, text);
  const body = new PassThrough();
  body.end("four");
  await assert.rejects(middleware.handle(aRequest({ body }), answers), /the body has more than 3 bytes/);
  assert.ok(body.destroyed);
});
