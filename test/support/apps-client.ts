import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { pattern } from "./apps-pattern.ts";
import type { TestScope } from "./cleanup.ts";
import { waitFor } from "./wait.ts";

/** Calls to the apps of test/fixtures/apps, piece by piece: nothing is buffered, and nothing is read unasked. */

/** Where a test calls from, and where it looks at the callee. */
export interface Path {
  /** `http://host:port` of the caller's sidecar. */
  readonly api: string;
  readonly target: string;
  /** The callee app itself, past its sidecar. */
  readonly direct: string;
}

const PATIENCE_MS = 60_000;

/** Begins a call; the body is the caller's business. Ended with the test. */
export function begin(
  t: TestScope,
  { api, target }: Pick<Path, "api" | "target">,
  call: { readonly path: string; readonly method?: string; readonly headers?: http.OutgoingHttpHeaders },
): http.ClientRequest {
  const { path, method = "GET", headers = {} } = call;
  // A connection of its own: what happens to it happens to this call alone.
  const request = http.request(`${api}/v1.0/invoke/${target}/method${path}`, { method, headers, agent: false });
  // Bounds a hang; no test waits for it. An answer that has begun fails with this, and not as one that broke off.
  request.setTimeout(PATIENCE_MS, () => {
    const hang = new Error(`nothing moved on ${path} for ${PATIENCE_MS} ms`);
    answer?.destroy(hang);
    request.destroy(hang);
  });
  let answer: http.IncomingMessage | undefined;
  request.once("response", (begun) => {
    answer = begun;
  });
  // Shown by whoever waits for the answer.
  request.on("error", () => undefined);
  t.after(() => {
    request.destroy();
  });
  return request;
}

/** The head of the answer; the body stays unread. Fails where the call fails first. */
export async function answerTo(request: http.ClientRequest): Promise<http.IncomingMessage> {
  const [answer] = (await once(request, "response")) as [http.IncomingMessage];
  return answer;
}

/** Begins a GET. @returns the head of the answer. */
export function get(t: TestScope, path: Path, what: string): Promise<http.IncomingMessage> {
  const request = begin(t, path, { path: what });
  request.end();
  return answerTo(request);
}

export interface Transfer {
  readonly status: number | undefined;
  readonly bytes: number;
  readonly sha256: string;
}

/** Downloads and throws away. Fails where the answer breaks off. */
export async function download(t: TestScope, path: Path, bytes: number, framing: Framing): Promise<Transfer> {
  const answer = await get(t, path, `/download?bytes=${bytes}${framing === "chunked" ? "&chunked=1" : ""}`);
  const hash = createHash("sha256");
  let received = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    hash.update(chunk);
    received += chunk.length;
  }
  return { status: answer.statusCode, bytes: received, sha256: hash.digest("hex") };
}

/** Uploads the pattern. @returns what the app says it got. */
export async function upload(t: TestScope, path: Path, bytes: number, framing: Framing): Promise<Transfer> {
  const headers = framing === "chunked" ? {} : { "Content-Length": bytes };
  const request = begin(t, path, { method: "POST", path: "/upload", headers });
  const [answer] = await Promise.all([answerTo(request), pipeline(Readable.from(pattern(bytes)), request)]);
  const text = await textOf(answer);
  const got = answer.statusCode === 200 ? (JSON.parse(text) as { bytes: number; sha256: string }) : undefined;
  return { status: answer.statusCode, bytes: got?.bytes ?? 0, sha256: got?.sha256 ?? text };
}

export type Framing = "known length" | "chunked";

export async function textOf(answer: http.IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of answer.setEncoding("utf8") as AsyncIterable<string>) text += chunk;
  return text;
}

/** What the callee app has come to with the request that carried this key. */
export interface Progress {
  readonly bytes: number;
  readonly state: "open" | "complete" | "broken";
}

/** Undefined where the app has not got the request yet. */
export async function progressOf({ direct }: Pick<Path, "direct">, key: string): Promise<Progress | undefined> {
  const answer = await fetch(`${direct}/progress?key=${key}`);
  const text = await answer.text();
  return answer.status === 200 ? (JSON.parse(text) as Progress) : undefined;
}

/** Waits until the app says so of the request with this key. */
export async function progressUntil(
  path: Path,
  key: string,
  holds: (progress: Progress) => boolean,
): Promise<Progress> {
  let last: Progress | undefined;
  try {
    return await waitFor(`the app's word on ${key}`, async () => {
      last = await progressOf(path, key);
      return last !== undefined && holds(last) ? last : undefined;
    });
  } catch (cause) {
    throw new Error(`the app last said of ${key}: ${JSON.stringify(last)}`, { cause });
  }
}

/** Lets the request with this key go one step further. */
export async function release({ direct }: Pick<Path, "direct">, key: string): Promise<void> {
  const answer = await fetch(`${direct}/release?key=${key}`, { method: "POST" });
  await answer.arrayBuffer();
}
