import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { CallAbort } from "../../src/core/call-signal.ts";
import type { LogFields, Logger } from "../../src/core/logger.ts";
import { ConcurrencyLimit } from "../../src/invocation/concurrency-limit.ts";
import type { AppChannel } from "../../src/invocation/ports.ts";
import { Receiver } from "../../src/invocation/receiver.ts";
import { StartGate } from "../../src/invocation/start-gate.ts";
import { CloudEvent } from "../../src/pubsub/cloud-event.ts";
import type { BulkDelivery, Delivery } from "../../src/pubsub/ports.ts";
import { systemClock } from "../../src/runtime/system-clock.ts";
import { GrpcAppChannel } from "../../src/transport/app/grpc-app-channel.ts";
import { GrpcEventApp } from "../../src/transport/app/grpc-event-app.ts";
import { HttpAppChannel } from "../../src/transport/app/http-app-channel.ts";
import { HttpEventApp } from "../../src/transport/app/http-event-app.ts";
import { upstreamFactory } from "../../src/transport/upstream/upstream-factory.ts";
import type { TestScope } from "./cleanup.ts";
import { QUIET } from "./upstream.ts";

/** Apps that are handed events over real connections, as a sidecar does it. */

export const NO_TRACE = "00-00000000000000000000000000000000-0000000000000000-00";
export const MAX_ANSWER_BYTES = 64 * 1024;
export const patient = new CallAbort();

export interface LogLine {
  readonly level: keyof Logger;
  readonly message: string;
  readonly fields: LogFields | undefined;
}

export interface EventAppUnderTest<App> {
  readonly app: App;
  readonly log: readonly LogLine[];
  /** Resolves once no call of the app is under way, its answer included. */
  readonly whenIdle: () => Promise<void>;
}

const LENT = { codec: "lean", clock: systemClock, log: QUIET } as const;
const PLACE = { address: "127.0.0.1", trust: undefined } as const;

export function httpEventApp(t: TestScope, port: number, appToken?: string): EventAppUnderTest<HttpEventApp> {
  const channel = new HttpAppChannel({ ...PLACE, port, protocol: "http", appToken }, upstreamFactory(LENT));
  return underTest(t, channel, (parts) => new HttpEventApp({ ...parts, appId: "callee" }));
}

export function grpcEventApp(t: TestScope, port: number, appToken?: string): EventAppUnderTest<GrpcEventApp> {
  const options = { ...PLACE, port, protocol: "grpc", appToken, maxBodyBytes: MAX_ANSWER_BYTES } as const;
  const channel = new GrpcAppChannel(options, upstreamFactory(LENT));
  return underTest(t, channel, (parts) => new GrpcEventApp(parts));
}

interface AppParts {
  readonly channel: AppChannel;
  readonly maxAnswerBytes: number;
  readonly log: Logger;
}

function underTest<App>(
  t: TestScope,
  channel: AppChannel & { close(): void },
  make: (parts: AppParts) => App,
): EventAppUnderTest<App> {
  t.after(() => {
    channel.close();
  });
  const receiver = receiverOf(channel);
  const { lines, log } = recordedLog();
  const way = { call: receiver.deliverEvent.bind(receiver) };
  const app = make({ channel: way, maxAnswerBytes: MAX_ANSWER_BYTES, log });
  return { app, log: lines, whenIdle: () => receiver.whenIdle() };
}

function receiverOf(channel: AppChannel): Receiver {
  const gate = new StartGate(systemClock, 1000);
  gate.open();
  return new Receiver({
    channel,
    speaksGrpc: false,
    limit: new ConcurrencyLimit(4, 4),
    gate,
    health: undefined,
    limitBody: (request) => request,
    access: undefined,
    log: QUIET,
  });
}

export function recordedLog(): { readonly lines: readonly LogLine[]; readonly log: Logger } {
  const lines: LogLine[] = [];
  const at =
    (level: keyof Logger) =>
    (message: string, fields?: LogFields): void => {
      lines.push({ level, message, fields });
    };
  return { lines, log: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") } };
}

export function eventOf(members: Readonly<Record<string, unknown>>): CloudEvent {
  return CloudEvent.parse(Buffer.from(JSON.stringify(members)));
}

const EVENT = { specversion: "1.0", id: "e1", source: "s", type: "t", datacontenttype: "application/json", data: 1 };

export function deliveryOf(changes: Partial<Delivery> = {}): Delivery {
  return {
    pubsub: "mem",
    topic: "orders",
    subscription: "orders of mem (test)",
    path: "/orders",
    event: eventOf(EVENT),
    metadata: new Map([["pubsubName", "mem"]]),
    traceparent: NO_TRACE,
    tracestate: undefined,
    ...changes,
  };
}

/** Of three events, `1` to `3`. */
export function bulkDeliveryOf(changes: Partial<BulkDelivery> = {}): BulkDelivery {
  const entries = ["1", "2", "3"].map((entryId) => ({
    entryId,
    event: eventOf({ ...EVENT, id: `e${entryId}` }),
    contentType: undefined,
    metadata: new Map<string, string>(),
  }));
  const metadata = new Map([["pubsubName", "mem"]]);
  const subscription = "orders of mem (test)";
  return { id: "batch", pubsub: "mem", topic: "orders", subscription, path: "/bulk", entries, metadata, ...changes };
}

/** An HTTP app that answers everything so. @param received the heads of what it got. @returns its port. */
export async function startAnsweringApp(
  t: TestScope,
  status: number,
  body: string | Buffer = "",
  received: http.IncomingMessage[] = [],
): Promise<number> {
  const server = http.createServer((request, response) => {
    received.push(request);
    request.resume();
    response.writeHead(status, { "Content-Length": Buffer.byteLength(body) });
    response.end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}
