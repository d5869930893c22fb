import * as z from "zod";
import { type NamedValue, namedValueSchema, type ValueSource, valueSourceSchema } from "./value-source.ts";
import { checkDocument, type YamlDocument } from "./yaml-file.ts";

/** A `kind: HTTPEndpoint` resource, checked: an API that no sidecar stands beside (seeds 001 and 003). */
export interface HttpEndpointSpec {
  readonly name: string;
  /** Undefined where the document does not say. */
  readonly namespace: string | undefined;
  /** `http://` or `https://`; its path, if any, comes before the method's, its user and password are sent (RFC 7617). */
  readonly baseUrl: URL;
  readonly headers: readonly NamedValue[];
  readonly clientTls: ClientTlsSpec | undefined;
  /** App ids; empty for all. */
  readonly scopes: readonly string[];
  /** `auth.secretStore`; undefined: the one that there is. */
  readonly secretStore: string | undefined;
  /** What is written in it that was taken for something else, or left out; for the log. */
  readonly slips: readonly string[];
  readonly file: string;
}

export interface ClientTlsSpec {
  readonly rootCa: ValueSource | undefined;
  readonly certificate: ValueSource | undefined;
  readonly privateKey: ValueSource | undefined;
  /** Whether the server may ask for a new handshake on a connection (TLS 1.2). */
  readonly renegotiation: "never" | "once" | "freely";
}

// daprd's words, and the short ones that people write.
const RENEGOTIATION = {
  never: "never",
  once: "once",
  freely: "freely",
  renegotiatenever: "never",
  renegotiateonceasclient: "once",
  renegotiatefreelyasclient: "freely",
} as const;

const baseUrl = z.string().transform((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isHttp = url?.protocol === "http:" || url?.protocol === "https:";
  if (url !== undefined && isHttp && url.search === "" && url.hash === "" && hasReadableUser(url)) return url;
  context.addIssue(`"${text}" is no base URL; write http://host[:port][/path] or https://…, without ? and #`);
  return z.NEVER;
});

function hasReadableUser({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username + password);
    return true;
  } catch {
    return false;
  }
}

const renegotiation = z
  .string()
  .toLowerCase()
  .pipe(z.enum(Object.keys(RENEGOTIATION) as (keyof typeof RENEGOTIATION)[], { error: "say never, once or freely" }))
  .transform((word) => RENEGOTIATION[word]);

const schema = z.strictObject({
  apiVersion: z.literal("dapr.io/v1alpha1"),
  kind: z.literal("HTTPEndpoint"),
  metadata: z.looseObject({ name: z.string().min(1), namespace: z.string().optional() }),
  spec: z.strictObject({
    version: z.string().optional(),
    baseUrl,
    headers: z.array(namedValueSchema).default([]),
    clientTLS: z
      .strictObject({
        rootCA: valueSourceSchema.optional(),
        certificate: valueSourceSchema.optional(),
        privateKey: valueSourceSchema.optional(),
        renegotiation: renegotiation.default("never"),
      })
      .optional(),
  }),
  scopes: z.array(z.string()).default([]),
  auth: z.strictObject({ secretStore: z.string().min(1).optional() }).optional(),
});

/** @throws {ResourceError} naming file, line and field. */
export function readHttpEndpoint(document: YamlDocument): HttpEndpointSpec {
  const { metadata, spec, scopes, auth } = checkDocument(document, schema);
  const mended = spec.headers.map(mendSlip);
  const tls = spec.clientTLS;
  return Object.freeze({
    name: metadata.name,
    namespace: metadata.namespace,
    baseUrl: spec.baseUrl,
    headers: mended.flatMap(({ header }) => header ?? []),
    clientTls:
      tls === undefined
        ? undefined
        : {
            rootCa: tls.rootCA,
            certificate: tls.certificate,
            privateKey: tls.privateKey,
            renegotiation: tls.renegotiation,
          },
    scopes,
    secretStore: auth?.secretStore,
    slips: mended.flatMap(({ slip }) => (slip === undefined ? [] : [`${document.file}: ${metadata.name}: ${slip}`])),
    file: document.file,
  });
}

// What Outrigger writes itself for each connection and message: written twice, it would say where a message ends.
const NOT_TO_BE_SET = new Set(
  ["host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection"].concat([
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
    "expect",
  ]),
);

/** A header that cannot be set is left out. Seed 001 prints `test/event-stream` where an event stream is meant. */
function mendSlip(header: NamedValue): { readonly header?: NamedValue; readonly slip?: string } {
  const { name, source } = header;
  if (NOT_TO_BE_SET.has(name.toLowerCase())) {
    const whose = name.toLowerCase() === "host" ? "it is that of baseUrl" : "Outrigger sets it for each message";
    return { slip: `the header ${name} was left out, for ${whose}` };
  }
  if (name.toLowerCase() !== "accept" || source.kind !== "value") return { header };
  if (source.value.trim().toLowerCase() !== "test/event-stream") return { header };
  const slip = `the header ${name} is "${source.value}", which was taken for "text/event-stream"`;
  return { header: { name, source: { kind: "value", value: "text/event-stream" } }, slip };
}
