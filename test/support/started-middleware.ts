import type { MiddlewareManifest } from "../../src/components/contract/middleware.ts";
import { CallAbort } from "../../src/core/call-signal.ts";
import type { Clock } from "../../src/core/clock.ts";
import type { Logger } from "../../src/core/logger.ts";
import type { RequestMessage, ResponseMessage } from "../../src/core/message.ts";
import { headerValue, headerValues } from "../../src/core/raw-headers.ts";
import type { TestScope } from "./cleanup.ts";
import { metadataWith } from "./component-metadata.ts";
import { ManualClock } from "./manual-clock.ts";

/** One middleware in front of an app that answers `ok` and notes what reached it. */
export interface StartedMiddleware {
  readonly clock: ManualClock;
  /** What was logged, `level message`. */
  readonly logged: string[];
  /** What reached the app. */
  readonly passed: RequestMessage[];
  readonly send: (asked?: Asked) => Promise<Answered>;
}

export interface Asked {
  /** With its query. */
  readonly path?: string;
  readonly headers?: readonly string[];
}

export interface Answered {
  readonly status: number;
  readonly body: string;
  readonly location: string | undefined;
  readonly cookies: readonly string[];
  readonly headers: readonly string[];
}

export async function startMiddleware(
  t: TestScope,
  manifest: MiddlewareManifest,
  fields: Readonly<Record<string, string>>,
  clock = new ManualClock(),
): Promise<StartedMiddleware> {
  const logged: string[] = [];
  const middleware = manifest.create({ clock: clock satisfies Clock, log: notingLog(logged) });
  t.after(() => middleware.close());
  await middleware.init(await metadataWith(fields));
  const passed: RequestMessage[] = [];
  const app = (request: RequestMessage): Promise<ResponseMessage> => {
    passed.push(request);
    return Promise.resolve({ status: 200, statusText: "OK", headers: [], body: Buffer.from("ok") });
  };
  return {
    clock,
    logged,
    passed,
    send: async (asked = {}) => answered(await middleware.handle(requestOf(asked), app)),
  };
}

function notingLog(logged: string[]): Logger {
  const note = (level: string) => (message: string) => {
    logged.push(`${level} ${message}`);
  };
  return { debug: note("debug"), info: note("info"), warn: note("warn"), error: note("error") };
}

function requestOf({ path = "/x", headers = [] }: Asked): RequestMessage {
  const [bare = "", query] = path.split(/\?(.*)/s, 2);
  const signal = new CallAbort();
  return { method: "GET", path: bare, query, headers: [...headers], body: undefined, contentLength: 0, signal };
}

function answered({ status, headers, body }: ResponseMessage): Answered {
  const text = body instanceof Uint8Array ? Buffer.from(body).toString() : "";
  return {
    status,
    body: text,
    location: headerValue(headers, "location"),
    cookies: headerValues(headers, "set-cookie"),
    headers,
  };
}
