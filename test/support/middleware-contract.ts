import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough, Readable } from "node:stream";
import { test } from "node:test";
import type { Middleware, MiddlewareContext, MiddlewareRequest } from "../../src/components/contract/middleware.ts";
import { CallAbort } from "../../src/core/call-signal.ts";
import type { Logger } from "../../src/core/logger.ts";
import type { Body, ResponseMessage } from "../../src/core/message.ts";
import { metadataWith } from "./component-metadata.ts";
import { ManualClock } from "./manual-clock.ts";

export interface MiddlewareSubject {
  create(context: MiddlewareContext): Middleware;
  /** Metadata with which it lets `GET /allowed` pass. */
  readonly fields: Readonly<Record<string, string>>;
  /** Where the Component stands. */
  readonly file?: string;
  /** A field that it does not know, and the one that was meant. Absent where every field is taken. */
  readonly slip?: { readonly written: string; readonly meant: string };
  /** Headers without which `GET /allowed` does not pass. */
  readonly headers?: readonly string[];
  /** Metadata with which it cannot be used. */
  readonly unusable?: Readonly<Record<string, string>>;
}

const nothing = (): void => undefined;
const silent: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };

export function middlewareContext(): MiddlewareContext & { readonly clock: ManualClock } {
  return { clock: new ManualClock(), log: silent };
}

/** A request as a pipeline gives it to its steps. */
export function aRequest(written: Partial<MiddlewareRequest> = {}): MiddlewareRequest {
  const plain = { method: "GET", path: "/allowed", query: undefined, headers: [], body: undefined, contentLength: 0 };
  return { ...plain, signal: new CallAbort(), ...written };
}

export function anAnswer(written: Partial<ResponseMessage> = {}): ResponseMessage {
  return { status: 200, statusText: "", headers: [], body: undefined, ...written };
}

/** A body that is all there. */
export function textOf(body: Body): string {
  assert.ok(body instanceof Uint8Array);
  return Buffer.from(body).toString();
}

/** What every middleware promises. */
export function testMiddlewareContract(name: string, subject: MiddlewareSubject): void {
  const { fields, file, slip, unusable } = subject;
  const ready = async (): Promise<Middleware> => {
    const middleware = subject.create(middlewareContext());
    await middleware.init(await metadataWith(fields, file));
    return middleware;
  };
  const request = (written: Partial<MiddlewareRequest> = {}): MiddlewareRequest =>
    aRequest({ headers: [...(subject.headers ?? [])], ...written });

  if (slip !== undefined) {
    test(`${name}: a field that it does not know is refused, with its place and the one that was meant`, async () => {
      const metadata = await metadataWith({ ...fields, [slip.written]: "x" }, file);
      const failure = new RegExp(`:\\d+: unknown metadata field "${slip.written}"; did you mean "${slip.meant}"\\?$`);
      await assert.rejects(async () => {
        await subject.create(middlewareContext()).init(metadata);
      }, failure);
    });
  }

  test(`${name}: it can be closed before it is ready, twice, and where it cannot be used`, async () => {
    await subject.create(middlewareContext()).close();
    const used = await ready();
    await used.close();
    await used.close();
    if (unusable === undefined) return;
    const failed = subject.create(middlewareContext());
    const metadata = await metadataWith(unusable, file);
    await assert.rejects(async () => {
      await failed.init(metadata);
    });
    await failed.close();
  });

  test(`${name}: many requests at once each get their own answer`, async () => {
    const middleware = await ready();
    const answers = Array.from({ length: 50 }, async (_, at) => {
      const answer = await middleware.handle(request({ query: `n=${at}` }), async ({ query = "" }) => {
        await Promise.resolve();
        return anAnswer({ headers: ["X-Query", query] });
      });
      return answer.headers[answer.headers.indexOf("X-Query") + 1];
    });
    const queries = await Promise.all(answers);
    assert.ok(
      queries.every((query, at) => query?.split("&").includes(`n=${at}`)),
      queries.join(),
    );
  });

  test(`${name}: what it is given stays as it is`, async () => {
    const given = request({ body: Buffer.from("text"), contentLength: 4, query: "a=1" });
    const before = structuredClone({ ...given, signal: undefined });
    Object.freeze(given.headers);
    await (await ready()).handle(Object.freeze(given), () => Promise.resolve(anAnswer()));
    assert.deepEqual({ ...given, body: new Uint8Array(given.body as Buffer), signal: undefined }, before);
  });

  test(`${name}: streams pass piece by piece, both ways`, async () => {
    const middleware = await ready();
    const [upload, download] = [new PassThrough(), new PassThrough()];
    const sent = request({ method: "GET", body: upload, contentLength: undefined });
    upload.write("UP");
    const answer = await middleware.handle(sent, async ({ body }) => {
      assert.equal(await firstPiece(body), "UP");
      return anAnswer({ body: download });
    });
    download.write("DOWN");
    assert.equal(await firstPiece(answer.body), "DOWN");
    assert.ok(!upload.writableEnded && !download.writableEnded);
    download.destroy(new Error("broke"));
    assert.ok(answer.body instanceof Readable);
    if (!answer.body.destroyed) await once(answer.body, "close");
    assert.equal(answer.body.readableEnded, false);
  });

  test(`${name}: a connection that changes its protocol passes untouched`, async () => {
    const body = new PassThrough();
    const switched = anAnswer({ status: 101, upgrade: "websocket", body });
    const answer = await (await ready()).handle(request({ upgrade: "websocket" }), ({ upgrade }) => {
      assert.equal(upgrade, "websocket");
      return Promise.resolve(switched);
    });
    assert.deepEqual([answer.status, answer.upgrade, answer.body === body], [101, "websocket", true]);
  });

  test(`${name}: what fails behind it fails as it did`, async () => {
    const failure = new Error("nobody there");
    const middleware = await ready();
    await assert.rejects(
      middleware.handle(request(), () => Promise.reject(failure)),
      (error) => error === failure,
    );
  });
}

async function firstPiece(body: ResponseMessage["body"]): Promise<string> {
  assert.ok(body instanceof Readable);
  body.on("error", nothing);
  const [piece] = (await once(body, "data")) as [Buffer];
  body.pause();
  return piece.toString();
}
