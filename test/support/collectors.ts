import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type { Certificate } from "./certificates.ts";
import type { TestScope } from "./cleanup.ts";
import { ROOT } from "./outrigger.ts";
import { waitFor } from "./wait.ts";

/** Servers that take spans and keep them: OTLP over gRPC and over HTTP, and Zipkin's. */

export interface SeenSpan {
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first of its trace. */
  readonly parentId: string;
  readonly name: string;
  readonly kind: "client" | "server" | "other";
  readonly attributes: Readonly<Record<string, string>>;
  readonly events: readonly string[];
  /** Undefined where the span is no error. */
  readonly error: string | undefined;
  readonly tracestate: string;
}

/** What has come so far. */
export class Collector {
  port = 0;
  readonly spans: SeenSpan[] = [];
  /** Of each request, by lower-case name. */
  readonly headers: Readonly<Record<string, unknown>>[] = [];

  /** Waits until there are as many spans that `wanted` takes. */
  async when(count: number, wanted: (span: SeenSpan) => boolean = () => true): Promise<readonly SeenSpan[]> {
    try {
      return await waitFor(`${count} spans`, () => {
        const found = this.spans.filter(wanted);
        return found.length >= count ? found : undefined;
      });
    } catch (cause) {
      throw new Error(`not enough spans: ${JSON.stringify(this.spans, undefined, 1)}`, { cause });
    }
  }
}

interface WrittenValue {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: string;
  readonly doubleValue?: number;
}

interface WrittenAttribute {
  readonly key: string;
  readonly value: WrittenValue;
}

interface WrittenRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly WrittenAttribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly WrittenSpan[] }[];
  }[];
}

interface WrittenSpan {
  readonly traceId: Buffer;
  readonly spanId: Buffer;
  readonly traceState: string;
  readonly parentSpanId: Buffer;
  readonly name: string;
  readonly kind: number;
  readonly attributes: readonly WrittenAttribute[];
  readonly events: readonly { readonly name: string }[];
  readonly status: { readonly message: string; readonly code: number } | null;
}

function traceService(): grpc.ServiceDefinition {
  const options = { defaults: true, longs: String };
  const definition = loadSync(join(ROOT, "test/fixtures/otlp/trace_service.proto"), options);
  return definition["opentelemetry.proto.collector.trace.v1.TraceService"] as grpc.ServiceDefinition;
}

/** @param certificate for TLS. */
export async function startOtlpGrpc(t: TestScope, certificate?: Certificate): Promise<Collector> {
  const server = new grpc.Server();
  const collector = new Collector();
  server.addService(traceService(), {
    Export: (call: grpc.ServerUnaryCall<WrittenRequest, object>, callback: grpc.sendUnaryData<object>) => {
      collector.headers.push(call.metadata.getMap());
      collector.spans.push(...spansIn(call.request));
      callback(null, {});
    },
  });
  const { key = "", cert = "" } = certificate ?? {};
  const pair = { private_key: Buffer.from(key), cert_chain: Buffer.from(cert) };
  const credentials =
    certificate === undefined
      ? grpc.ServerCredentials.createInsecure()
      : grpc.ServerCredentials.createSsl(null, [pair]);
  collector.port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  t.after(() => {
    server.forceShutdown();
  });
  return collector;
}

/** @param certificate for TLS. */
export async function startOtlpHttp(t: TestScope, certificate?: Certificate): Promise<Collector> {
  const { Export: method } = traceService();
  return serve(t, certificate, "/v1/traces", (body) => spansIn(method?.requestDeserialize(body) as WrittenRequest));
}

interface ZipkinSpan {
  readonly traceId: string;
  readonly id: string;
  readonly parentId?: string;
  readonly name: string;
  readonly kind?: "CLIENT" | "SERVER";
  readonly localEndpoint: { readonly serviceName: string };
  readonly tags: Readonly<Record<string, string>>;
  readonly annotations?: readonly { readonly value: string }[];
}

export async function startZipkin(t: TestScope): Promise<Collector> {
  return serve(t, undefined, "/api/v2/spans", (body) =>
    (JSON.parse(body.toString()) as ZipkinSpan[]).map((span) => ({
      service: span.localEndpoint.serviceName,
      traceId: span.traceId,
      spanId: span.id,
      parentId: span.parentId ?? "",
      name: span.name,
      kind: span.kind === "CLIENT" ? "client" : span.kind === "SERVER" ? "server" : "other",
      attributes: span.tags,
      events: (span.annotations ?? []).map(({ value }) => value),
      error: span.tags["error"],
      tracestate: "",
    })),
  );
}

async function serve(
  t: TestScope,
  certificate: Certificate | undefined,
  path: string,
  read: (body: Buffer) => readonly SeenSpan[],
): Promise<Collector> {
  const collector = new Collector();
  const handle: http.RequestListener = (request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      if (request.url === path) {
        collector.headers.push(request.headers);
        collector.spans.push(...read(Buffer.concat(parts)));
        response.end();
      } else response.writeHead(404).end();
    });
  };
  const server =
    certificate === undefined
      ? http.createServer(handle)
      : https.createServer({ key: certificate.key, cert: certificate.cert }, handle);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  collector.port = (server.address() as AddressInfo).port;
  return collector;
}

function spansIn({ resourceSpans }: WrittenRequest): SeenSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = attributesIn(resource.attributes)["service.name"] ?? "";
    return scopeSpans.flatMap(({ spans }) => spans.map((span) => seen(service, span)));
  });
}

function seen(service: string, span: WrittenSpan): SeenSpan {
  return {
    service,
    traceId: span.traceId.toString("hex"),
    spanId: span.spanId.toString("hex"),
    parentId: span.parentSpanId.toString("hex"),
    name: span.name,
    kind: span.kind === 3 ? "client" : span.kind === 2 ? "server" : "other",
    attributes: attributesIn(span.attributes),
    events: span.events.map(({ name }) => name),
    error: span.status?.code === 2 ? span.status.message : undefined,
    tracestate: span.traceState,
  };
}

function attributesIn(written: readonly WrittenAttribute[]): Record<string, string> {
  return Object.fromEntries(written.map(({ key, value }) => [key, valueIn(value)]));
}

/** proto-loader gives every field of a oneof its default; what is set is the last that is none. */
function valueIn({ stringValue, boolValue, intValue, doubleValue }: WrittenValue): string {
  return String([stringValue, intValue, doubleValue, boolValue].find((value) => value !== undefined) ?? "");
}
