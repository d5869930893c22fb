import * as z from "zod";
import { messageOf } from "../core/errors.ts";
import { parseGoDuration } from "../core/go-duration.ts";
import { type OtelSpec, type OtlpProtocol, otlpHeadersIn, otlpUrl, type TracingSpec } from "./otlp-settings.ts";
import { type NamedValue, namedValueSchema } from "./value-source.ts";
import { checkDocument, ResourceError, sectionAt, type YamlDocument } from "./yaml-file.ts";

const samplingRate = z
  .union([z.string(), z.number()], { error: "give a number from 0 to 1" })
  .transform((written, context): number | undefined => {
    if (written === "") return undefined;
    const rate = Number(written);
    if (rate >= 0 && rate <= 1) return rate;
    context.addIssue(`${JSON.stringify(written)} is no share of all calls; give a number from 0 to 1`);
    return z.NEVER;
  });

const zipkinUrl = z.string().refine((text) => text === "" || isHttpUrl(text), {
  error: "give the whole URL that spans are posted to, such as http://localhost:9411/api/v2/spans",
});

const timeout = z
  .union([z.string(), z.number()], { error: "give milliseconds, or a duration such as 10s" })
  .transform((written, context): number | undefined => {
    if (written === "") return undefined;
    const ms = typeof written === "number" ? written : (parseGoDuration(written) ?? Number(written));
    if (ms > 0) return ms;
    if (ms === 0) return undefined;
    context.addIssue(`${JSON.stringify(written)} is no time; give milliseconds, or a duration such as 10s`);
    return z.NEVER;
  });

const protocol = z
  .string()
  .toLowerCase()
  .pipe(z.enum(["grpc", "http", ""], { error: "say grpc or http" }));

/** `spec.tracing` of a Configuration: Dapr's fields. */
export const tracingSchema = z.strictObject({
  samplingRate: samplingRate.optional(),
  stdout: z.boolean().optional(),
  zipkin: z.strictObject({ endpointAddress: zipkinUrl.optional() }).optional(),
  otel: z
    .strictObject({
      endpointAddress: z.string().optional(),
      isSecure: z.boolean().optional(),
      protocol: protocol.optional(),
      headers: z.unknown().optional(),
      timeout: timeout.optional(),
    })
    .optional(),
});

type Written = z.output<typeof tracingSchema>;

const NOTHING: TracingSpec = { samplingRate: undefined, stdout: false, zipkinUrl: undefined, otel: undefined };

/**
 * What a Configuration says of tracing, over what those before it have said: each field of it holds by itself.
 *
 * @throws {ResourceError} naming file, line and field.
 */
export function readTracing(
  document: YamlDocument,
  written: Written,
  before: TracingSpec | undefined = NOTHING,
): TracingSpec {
  const zipkin = written.zipkin?.endpointAddress;
  return Object.freeze({
    samplingRate: written.samplingRate ?? before.samplingRate,
    stdout: written.stdout ?? before.stdout,
    zipkinUrl: zipkin === undefined ? before.zipkinUrl : zipkin === "" ? undefined : zipkin,
    otel: written.otel === undefined ? before.otel : otelIn(document, written.otel),
  });
}

function otelIn(document: YamlDocument, written: NonNullable<Written["otel"]>): OtelSpec | undefined {
  const { endpointAddress = "", isSecure, headers, timeout: timeoutMs } = written;
  // daprd leaves the exporter out where its protocol is missing, and says nothing of it.
  const named: OtlpProtocol = written.protocol === "http" ? "http" : "grpc";
  if (endpointAddress === "") return undefined;
  const url = otlpUrl(endpointAddress, isSecure, named);
  if (url === undefined) {
    throw wrong(document, "endpointAddress", `"${endpointAddress}" is no address; write host:port`);
  }
  return { protocol: named, url, headers: headersIn(document, headers), timeoutMs };
}

/** As daprd's files have them, in one text, or as its Kubernetes resource has: a list, whose values may be secrets. */
function headersIn(document: YamlDocument, written: unknown): readonly NamedValue[] {
  if (written === undefined) return [];
  if (typeof written !== "string") {
    return checkDocument(sectionAt(document, [...OTEL, "headers"], written), z.array(namedValueSchema));
  }
  try {
    return otlpHeadersIn(written);
  } catch (error) {
    throw wrong(document, "headers", messageOf(error));
  }
}

const OTEL = ["spec", "tracing", "otel"];

function wrong(document: YamlDocument, field: string, what: string): ResourceError {
  const line = document.lineOf([...OTEL, field]);
  return new ResourceError(`${document.file}:${line}: ${OTEL.join(".")}.${field}: ${what}`);
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}
