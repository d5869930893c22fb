import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { OutgoingEvent } from "../../src/components/contract/pubsub.ts";
import type { Logger } from "../../src/core/logger.ts";
import { CloudEvent } from "../../src/pubsub/cloud-event.ts";
import { rawPayloadEvent } from "../../src/pubsub/envelope.ts";
import { Publisher } from "../../src/pubsub/publisher.ts";
import { topicScopes } from "../../src/pubsub/scopes.ts";
import { Readiness } from "../../src/runtime/readiness.ts";
import { systemClock } from "../../src/runtime/system-clock.ts";
import { ApiTokens } from "../../src/security/api-token.ts";
import { GrpcServer } from "../../src/transport/grpc/grpc-server.ts";
import { ApiServer } from "../../src/transport/http/api-server.ts";
import { canonicalJson } from "../support/canonical-json.ts";
import type { TestScope } from "../support/cleanup.ts";
import { startRecordingApp } from "../support/recording-app.ts";
import { componentOf, RememberingBroker } from "../support/remembering-broker.ts";
import { exchangeSeen, legible, recordedExchange, requestOf } from "./exchange.ts";
import { daprClient, echoClient } from "./grpc-client.ts";
import { type GrpcExchange, grpcExchange, grpcRecordedExchange } from "./grpc-exchange.ts";
import { type GrpcRecordedCase, grpcCasesBut, type RecordedMessage } from "./grpc-recorded-cases.ts";
import { startGrpcRecordingApp } from "./grpc-recording-app.ts";
import type { GrpcSidecar, GrpcTopology } from "./grpc-topology.ts";
import { GRPC_WANTED_DIFFERENCES } from "./grpc-wanted-differences.ts";
import { exchangeRaw } from "./raw-client.ts";
import { casesIn, type RecordedCase, type SidecarName } from "./recorded-cases.ts";

/**
 * What a real daprd 1.18.1 answered to publishers, and which events it made: Outrigger's doors answer the same, and give the
 * broker the same. What becomes of events behind the broker is not looked at here.
 */

const ignore = (): void => undefined;
const log: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };
const ends: (() => unknown)[] = [];
const scope: TestScope = { after: (end) => ends.unshift(end) };
const nobody = { invoke: () => assert.fail("nobody is called") };
// Unlike daprd, whose gRPC apps get no data where an event of the publisher's own does not say what it is.
const OWN_DATA = { "PublishEvent: own cloudevent": 'application/json {"k":1}' };
const mem = new RememberingBroker();
const httpPorts = new Map<SidecarName, number>();
let grpcFleet: GrpcTopology;

before(async () => {
  httpPorts.set("callee", await servedHttp(publisherOf("callee"), undefined));
  httpPorts.set("tokened", await servedHttp(undefined, "tok"));
  const sidecar = await servedGrpc(publisherOf("grpcapp"));
  const app = await startRecordingApp(scope);
  const grpcApp = await startGrpcRecordingApp(scope);
  const sidecars = { caller: sidecar, grpcapp: sidecar, httpapp: sidecar, tokened: sidecar };
  grpcFleet = { home: "none", app, appPort: app.port, grpcApp, sidecars };
});

after(async () => {
  for (const end of ends) await end();
});

const httpCases = casesIn(["publish"]);
const grpcCases = grpcCasesBut({}).filter(({ id }) => /^(?:Bulk)?PublishEvent:/.test(id));

test("there are recorded cases", () => {
  assert.deepEqual([httpCases.length, grpcCases.length], [51, 16]);
});

for (const recorded of httpCases) {
  test(`as daprd: ${recorded.id}`, async () => {
    const port = httpPorts.get(recorded.request.to) ?? assert.fail("nobody is recorded there");
    mem.taken.length = 0;
    const seen = await exchangeRaw(port, requestOf(recorded, port, 0));
    const here = { home: "none", appPort: 0, deadPort: 0 };
    assert.deepEqual(legible(exchangeSeen([], seen, here)).answer, legible(recordedExchange(recorded)).answer);
    if (recorded.app.length > 0) assert.deepEqual(mem.taken.map(textOf).sort(), recordedEvents(recorded));
  });
}

for (const recorded of grpcCases) {
  test(`as daprd: ${recorded.id}`, async () => {
    mem.taken.length = 0;
    const seen = await grpcExchange(grpcFleet, recorded);
    assert.deepEqual({ ...seen, app: [] }, { ...wantedOfAll(recorded), app: [] });
    assert.deepEqual(mem.taken.map(saidOf).sort(), recordedCloudEvents(recorded).sort());
  });
}

/** With the differences that are about every call. */
function wantedOfAll(recorded: GrpcRecordedCase): GrpcExchange {
  return GRPC_WANTED_DIFFERENCES.filter(({ cases }) => cases === undefined).reduce(
    (exchange, difference) => difference.rewrite(exchange, recorded),
    grpcRecordedExchange(recorded),
  );
}

function publisherOf(appId: string): Publisher {
  const allowed = { get: (field: string) => (field === "allowedTopics" ? "open,other" : undefined) };
  const scoped = componentOf("scoped", new RememberingBroker(), topicScopes(allowed, appId));
  const pubsubs = new Map([
    ["mem", componentOf("mem", mem)],
    ["scoped", scoped],
  ]);
  return new Publisher({ appId, rules: { pubsubs, policies: undefined }, observer: undefined, clock: systemClock });
}

function commonParts(token: string | undefined) {
  return {
    health: new Readiness("callee", true),
    metadata: { describe: () => assert.fail("nobody asks"), setExtended: ignore },
    shutdown: ignore,
    tokens: new ApiTokens([token]),
    codec: "lean",
    readBufferBytes: 4096,
    clock: systemClock,
    tracer: undefined,
    log,
  } as const;
}

async function servedHttp(publisher: Publisher | undefined, token: string | undefined): Promise<number> {
  const server = new ApiServer({
    ...commonParts(token),
    publisher,
    invocation: { invoker: nobody, maxBodyBytes: 4096 },
    rules: { httpPipeline: undefined },
    controlTokens: new ApiTokens([undefined]),
    allowedOrigins: [],
    http2: false,
  });
  scope.after(() => {
    server.listener.destroy();
  });
  return server.listener.listen("127.0.0.1", 0);
}

async function servedGrpc(publisher: Publisher): Promise<GrpcSidecar> {
  const server = new GrpcServer({ ...commonParts(undefined), publisher, invoker: nobody, maxMessageBytes: 4096 });
  scope.after(() => {
    server.listener.destroy();
  });
  const grpcPort = await server.listener.listen("127.0.0.1", 0);
  const address = `127.0.0.1:${grpcPort}`;
  return { httpPort: 0, grpcPort, dapr: daprClient(scope, address), echo: echoClient(scope, address) };
}

/** What the app of the recording got, without what dead letters repeat. */
function recordedEvents({ app }: RecordedCase): string[] {
  const delivered = app.filter(({ path }) => path !== "/dlq").map(({ body }) => body);
  const events = delivered.flatMap((body) => {
    const { entries } = JSON.parse(body) as { readonly entries?: readonly { readonly event: object }[] };
    return entries === undefined ? body : entries.map(({ event }) => JSON.stringify(event));
  });
  return events.map(inWords).sort();
}

/** As a subscriber of this topic gets it. */
function textOf({ topic, data }: OutgoingEvent): string {
  const isRaw = topic === "raw";
  const event: { toJson(): string } = isRaw ? rawPayloadEvent(data, topic, "mem") : { toJson: () => String(data) };
  return inWords(event.toJson());
}

function inWords(body: string): string {
  return canonicalJson(body)
    .replace(/"id":"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"/, '"id":"UUID"')
    .replace(/"(time|expiration)":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?(?:Z|[+-]\d\d:\d\d)"/g, '"$1":"TIME"')
    .replaceAll("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "TRACEPARENT");
}

/** What a gRPC app of an event is told in fields of their own. */
function saidOf({ data }: OutgoingEvent): string {
  const event = CloudEvent.parse(data);
  const { bytes, contentType } = event.dataBytes();
  const names = ["source", "type", "specversion", "topic", "pubsubname"].map((name) => event.text(name));
  return [...names, contentType, Buffer.from(bytes).toString("latin1")].join(" ");
}

function recordedCloudEvents({ id, app = [] }: GrpcRecordedCase): string[] {
  const requests = app.flatMap((call): RecordedMessage[] =>
    "rpc" in call && call.request !== undefined ? [call.request] : [],
  );
  const events = requests.flatMap((request): RecordedMessage[] => {
    const { entries } = request as { readonly entries?: readonly { readonly cloud_event: RecordedMessage }[] };
    return entries?.map(({ cloud_event: event }) => ({ ...request, ...event })) ?? [request];
  });
  const own = Object.entries(OWN_DATA).find(([name]) => name === id)?.[1];
  return events
    .filter((event) => event["topic"] !== "gdlq")
    .map((event) => {
      const { source, spec_version: version, topic, pubsub_name: pubsub, data_content_type: contentType } = event;
      const { $bytes = "" } = (event["data"] ?? {}) as { readonly $bytes?: string };
      return [source, event["type"], version, topic, pubsub, own ?? [contentType, $bytes].join(" ")].join(" ");
    });
}
