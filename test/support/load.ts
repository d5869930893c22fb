import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type Dispatcher, Pool } from "undici";
import type { TestScope } from "./cleanup.ts";
import { waitFor } from "./wait.ts";

/**
 * Steady load on an app of test/fixtures/apps: callers that call again as soon as they are answered. No two calls are
 * alike, and an answer counts as right only where it is the answer to its own call.
 */

export interface LoadOptions {
  /** The sidecar the callers stand beside, `http://host:port`. */
  readonly api: string;
  readonly target: string;
  readonly callers: number;
  /** Every call is a POST with a body of so many bytes or a few more, instead of calls of all kinds. */
  readonly bodyBytes?: number;
}

export type Verdict =
  | { readonly kind: "right"; readonly app: string }
  /** A 5xx with Dapr's error JSON: the caller knows that its call failed. */
  | { readonly kind: "refused"; readonly message: string }
  /** No whole answer came: the caller knows as well. */
  | { readonly kind: "broken"; readonly message: string }
  | { readonly kind: "wrong"; readonly message: string };

export type Kind = Verdict["kind"];

// Keeps the load from becoming a busy loop where every call is refused at once.
const PAUSE_AFTER_FAILURE_MS = 20;
const MESSAGES_KEPT = 5;
// Bounds a hang; no test waits for it.
const PATIENCE_MS = 60_000;

let loads = 0;

export class Load {
  readonly #options: LoadOptions;
  readonly #name = `load${++loads}`;
  readonly #pool: Pool;
  readonly #callers: readonly Caller[];
  readonly #messages = new Map<Kind, string[]>();
  readonly #over: Promise<unknown>;
  #stopped = false;

  constructor(t: TestScope, options: LoadOptions) {
    this.#options = options;
    this.#pool = new Pool(options.api, {
      connections: options.callers,
      pipelining: 1,
      headersTimeout: PATIENCE_MS,
      bodyTimeout: PATIENCE_MS,
    });
    this.#callers = Array.from({ length: options.callers }, () => new Caller());
    this.#over = Promise.all(this.#callers.map((caller, number) => this.#run(caller, number)));
    t.after(async () => {
      this.#stopped = true;
      await this.#pool.destroy();
      await this.#over;
    });
  }

  count(kind: Kind): number {
    return this.#callers.reduce((sum, caller) => sum + caller.counts[kind], 0);
  }

  /** Some of what the answers of this kind said, for the message of a failed test. */
  messages(kind: Kind): string {
    return (this.#messages.get(kind) ?? []).join("\n");
  }

  /** The apps that have given right answers, as `<language>:<pid>`, and how many each. */
  get answeredBy(): ReadonlyMap<string, number> {
    const sum = new Map<string, number>();
    for (const { apps } of this.#callers) {
      for (const [app, times] of apps) sum.set(app, (sum.get(app) ?? 0) + times);
    }
    return sum;
  }

  /** Waits until every caller has had this many more answers of this kind than now. */
  async everyCaller(kind: Kind, more: number): Promise<void> {
    const goals = this.#callers.map((caller) => caller.counts[kind] + more);
    await waitFor(`${more} more calls of each caller to be ${kind}`, () => {
      return this.#callers.every((caller, i) => caller.counts[kind] >= (goals[i] ?? 0));
    });
  }

  /** Lets every call that runs come to its end. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#over;
    await this.#pool.close();
  }

  async #run(caller: Caller, number: number): Promise<void> {
    for (let turn = 0; !this.#stopped; turn++) {
      const verdict = await this.#call(`${this.#name}-${number}-${turn}`, number, turn);
      caller.counts[verdict.kind]++;
      if (verdict.kind === "right") {
        caller.apps.set(verdict.app, (caller.apps.get(verdict.app) ?? 0) + 1);
        continue;
      }
      const messages = this.#messages.get(verdict.kind) ?? [];
      if (messages.length < MESSAGES_KEPT) messages.push(verdict.message);
      this.#messages.set(verdict.kind, messages);
      await sleep(PAUSE_AFTER_FAILURE_MS);
    }
  }

  async #call(id: string, number: number, turn: number): Promise<Verdict> {
    const { bodyBytes } = this.#options;
    const call = bodyBytes === undefined ? callFor(id, number, turn) : echoOf(id, bodyBytes);
    let answer: Dispatcher.ResponseData;
    let text: string;
    try {
      answer = await this.#pool.request({
        method: call.method,
        path: `/v1.0/invoke/${this.#options.target}/method${call.path}`,
        headers: { "x-call-id": id, ...(call.body === undefined ? {} : { "content-type": "text/plain" }) },
        body: call.body ?? null,
      });
      text = await answer.body.text();
    } catch (error) {
      return { kind: "broken", message: `${id}: ${String(error)}` };
    }
    const { statusCode, headers } = answer;
    const got = `${id} got ${statusCode} ${JSON.stringify(headers)} ${text}`;
    if (statusCode >= 500 && isDaprError(text)) return { kind: "refused", message: got };
    const right = statusCode === 200 && headers["x-call-id"] === id && call.isAnsweredBy(text);
    return right ? { kind: "right", app: String(headers["x-app"]) } : { kind: "wrong", message: got };
  }
}

class Caller {
  readonly counts: Record<Kind, number> = { right: 0, refused: 0, broken: 0, wrong: 0 };
  readonly apps = new Map<string, number>();
}

interface Call {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body: string | undefined;
  isAnsweredBy(text: string): boolean;
}

/** One of four kinds of call in turn; some take a while, so that at any moment many are under way. */
function callFor(id: string, number: number, turn: number): Call {
  switch ((number + turn) % 4) {
    case 0: {
      const [arg1, arg2] = [turn, (number + 1) * 1_000_000];
      const body = JSON.stringify({ arg1, arg2 });
      return { method: "POST", path: "/add", body, isAnsweredBy: (text) => text.trim() === String(arg1 + arg2) };
    }
    case 1:
      return { method: "GET", path: "/slow?ms=20", body: undefined, isAnsweredBy: (text) => sleptMs(text) === 20 };
    case 2:
      return { method: "GET", path: `/echo/${id}?id=${id}`, body: undefined, isAnsweredBy: echoes("GET", id, "") };
    default: {
      // Sometimes more than fits into one write, and of a length that few others have.
      return echoOf(id, id.length * (1 + ((turn * 7 + number) % 500)));
    }
  }
}

function echoOf(id: string, bytes: number): Call {
  const body = id.repeat(Math.ceil(bytes / id.length));
  return { method: "POST", path: `/echo/${id}?id=${id}`, body, isAnsweredBy: echoes("POST", id, body) };
}

function echoes(method: string, id: string, body: string): (text: string) => boolean {
  const sha256 = createHash("sha256").update(body).digest("hex");
  return (text) => {
    const seen = parsed(text);
    return seen["method"] === method && seen["path"] === `/echo/${id}?id=${id}` && seen["bodySha256"] === sha256;
  };
}

function sleptMs(text: string): unknown {
  return parsed(text)["sleptMs"];
}

/** wire-contract A1: an `errorCode` and a `message`. */
function isDaprError(text: string): boolean {
  const { errorCode, message } = parsed(text);
  return typeof errorCode === "string" && errorCode.startsWith("ERR_") && typeof message === "string";
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
