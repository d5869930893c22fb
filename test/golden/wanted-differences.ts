import { readFileSync } from "node:fs";
import { goJson } from "../../src/core/go-json.ts";
import { inExactForm } from "./exact-json.ts";
import { type Answer, type AppRequest, type Exchange, type HeaderValues, recordedExchange } from "./exchange.ts";
import { cases, type RecordedCase } from "./recorded-cases.ts";

/**
 * Where Outrigger is meant to differ from the daprd that was recorded. Each entry turns what was recorded into what is
 * wanted; whatever differs from daprd beyond these entries is a bug, and so is an entry that nothing needs.
 */
export interface WantedDifference {
  readonly what: string;
  /** Who says so. */
  readonly why: string;
  /** The cases it is for, each of which must need it; without, all that it changes, which must be at least one. */
  readonly cases?: readonly string[];
  /** Gives back the same exchange where there is nothing to change. */
  rewrite(exchange: Exchange, recorded: RecordedCase): Exchange;
}

const DAPR_VERSION = "1.18.1";
const ZERO_TRACE = "00-00000000000000000000000000000000-0000000000000000-00";

/** In the order in which they are applied: what one case needs before what many need. */
export const WANTED_DIFFERENCES: readonly WantedDifference[] = [
  {
    what: "an empty method name is refused with 400",
    why: "seed 000: '400 Method name not given'; design.md, '400 for a missing method'",
    cases: ["invoke path: empty"],
    rewrite: () =>
      refusal(
        400,
        "failed to invoke, id: callee, err: method name not given; put it after /method/, or call /method/. for the root",
      ),
  },
  {
    what: "a literal % reaches the app as %25",
    why: "design.md, '400 for a missing method': a literal % goes out as %25 (daprd answers 500 there)",
    cases: ["invoke path: percent 25"],
    rewrite: () => answeredByApp("/a%25b"),
  },
  {
    what: "another namespace is another app, which is not there",
    why: "design.md, 'A fresh process finds others': id.other-namespace finds only that namespace (unlike daprd's sqlite resolver)",
    cases: ["invoke forms: other namespace"],
    rewrite: () => refusal(500, `failed to invoke, id: callee.other, err: ${notFound("callee", "other")}`),
  },
  {
    what: "the error about an unknown app says where it was looked for, after daprd's words",
    why: "code-we-admire.md: a message names the thing, the value and the expectation; wire-contract A2 leaves the resolver's words to the resolver",
    cases: ["invoke errors: unknown app"],
    rewrite: () => refusal(500, `failed to invoke, id: ghost, err: ${notFound("ghost", "default")}`),
  },
  {
    what: "the error about an app that refuses connections has daprd's words up to Go's own: `dial tcp`, `connect`",
    why: 'wire-contract A2 fixes the text up to err; what follows `error invoking app channel: Get "…":` is Go\'s net package speaking',
    cases: ["invoke errors: app with nobody listening", "external: fqdn nobody there"],
    rewrite: (exchange) => ({
      ...exchange,
      answer: {
        ...exchange.answer,
        body: exchange.answer.body.replace(
          /dial tcp (127\.0\.0\.1:\w+): connect: connection refused/,
          "http://$1: connection refused",
        ),
      },
    }),
  },
  {
    what: "a body that is known to be over the limit is refused with 413",
    why: "design.md, '413'; wire-contract A12, 'no 413 for a known over-long body': fix",
    cases: ["invoke errors: body too large"],
    rewrite: () => refusal(413, "the request body has 5242880 bytes, more than --max-body-size allows (4194304)"),
  },
  {
    what: "nobody but Outrigger says who calls whom",
    why: "design.md, 'Who calls': incoming dapr-caller-* and dapr-callee-* headers are removed, never believed; wire-contract, Corrections",
    cases: ["invoke headers: dapr-* sent by the caller"],
    rewrite: (exchange) =>
      toApp(exchange, (headers) => ({
        ...headers,
        "dapr-caller-app-id": ["caller"],
        "dapr-callee-app-id": ["callee"],
      })),
  },
  {
    what: "the app's token is not sent to the host of a URL",
    why: "issue: 'the app's token is never sent to an external host'; wire-contract A4, FQDN: 'token leak; do not copy silently'",
    cases: ["external: fqdn from an app with a token"],
    rewrite: (exchange) => toApp(exchange, (headers) => without(headers, "dapr-api-token")),
  },
  {
    what: "no Content-Type is made up for an answer that has none",
    why: "wire-contract A2: app status, headers and body passed through; Go's net/http guesses one from the bytes",
    cases: ["invoke headers: response without content type"],
    rewrite: (exchange) => fromSidecar(exchange, (headers) => without(headers, "content-type")),
  },
  {
    what: "a 304 keeps the Content-Type the app gave it",
    why: "wire-contract A2: app status, headers and body passed through; Go's net/http drops it from every 304",
    cases: ["invoke: status 304"],
    rewrite: (exchange) => fromSidecar(exchange, (headers) => ({ ...headers, "content-type": ["text/plain"] })),
  },
  {
    what: "a verb that becomes POST without a body has Content-Length: 0, not an empty chunked body",
    why: "RFC 9110 8.6; the verb itself is as recorded (wire-contract A2: unknown → POST)",
    cases: ["invoke: unknown verb"],
    rewrite: (exchange) =>
      toApp(exchange, (headers) => ({ ...without(headers, "transfer-encoding"), "content-length": ["0"] })),
  },
  {
    what: "the answer to HEAD keeps the length that the app gave",
    why: "RFC 9110 9.3.2: the fields that GET would have had; as for GET below, the app's length is kept",
    cases: ["invoke: verb HEAD"],
    rewrite: (exchange) => fromSidecar(exchange, (headers) => ({ ...headers, "content-length": ["11"] })),
  },
  {
    what: "an event's tracestate reaches the app beside its traceparent",
    why: "W3C Trace Context 3.3: who passes on traceparent passes on tracestate; daprd has it in the event alone",
    cases: ["publish: traceparent"],
    rewrite: (exchange) => toApp(exchange, (headers) => ({ ...headers, tracestate: ["a=b"] })),
  },
  {
    what: "events that come together are handed over together",
    why: "wire-contract A8, bulk subscribe: up to maxMessagesCount in one call; pubsub.in-memory gives daprd one at a time",
    cases: ["publish: many to a bulk subscriber"],
    rewrite: (exchange) => ({ ...exchange, app: [inOneBatch(exchange.app)] }),
  },
  {
    what: "metadata tells of none of daprd's feature gates",
    why: "HotReload and WorkflowsRemoteActivityReminder are daprd's; a gate that does nothing would be a false promise",
    rewrite: (exchange) => inMetadata(exchange, (metadata) => leaveOut(metadata, "enabledFeatures")),
  },
  {
    what: "metadata names the release whose wire is spoken",
    why: "wire-contract A9: runtimeVersion matches ^(edge|\\d+\\.\\d+\\.\\d+(-rc\\.\\d+)?)$; the recorded daprd was an edge build of 1.18.1",
    rewrite: (exchange) =>
      inMetadata(exchange, (metadata) => ({
        ...metadata,
        runtimeVersion: DAPR_VERSION,
        extended: { ...extendedOf(metadata), daprRuntimeVersion: DAPR_VERSION },
      })),
  },
  {
    what: "metadata names Outrigger's own version beside it",
    why: "wire-contract A9: extended is {daprRuntimeVersion,…}; whoever reads it must be able to tell the two programs apart",
    rewrite: (exchange) =>
      inMetadata(exchange, (metadata) => ({
        ...metadata,
        extended: { ...extendedOf(metadata), outriggerVersion: ownVersion() },
      })),
  },
  {
    what: "no User-Agent is made up for a caller that sent none",
    why: "wire-contract A4, 'all caller headers'; the recorded one is that of Go's HTTP client",
    rewrite: (exchange) =>
      toApp(exchange, (headers) =>
        headers["user-agent"]?.[0] === "Go-http-client/1.1" ? without(headers, "user-agent") : headers,
      ),
  },
  {
    what: "no Accept-Encoding is made up for a caller that sent none",
    why: "wire-contract A4: Go's client adds gzip and decodes in secret; Outrigger carries the bytes (design.md)",
    rewrite: (exchange, { request }) =>
      "accept-encoding" in request.headers
        ? exchange
        : toApp(exchange, (headers) => without(headers, "accept-encoding")),
  },
  {
    what: "the length that the app gave its answer is kept",
    why: "design.md: Outrigger carries the bytes; daprd drops it and sends chunks (wire-contract A3), though the length is known",
    rewrite: (exchange) =>
      fromSidecar(exchange, (headers) =>
        "transfer-encoding" in headers
          ? { ...without(headers, "transfer-encoding"), "content-length": ["LENGTH"] }
          : headers,
      ),
  },
];

/** An error of the sidecar's own, as daprd frames them all. */
function refusal(status: number, message: string): Exchange {
  const headers = {
    "content-type": ["application/json"],
    traceparent: [ZERO_TRACE],
    date: ["DATE"],
    "content-length": ["LENGTH"],
  };
  return {
    app: [],
    answer: { status, headers, body: JSON.stringify({ errorCode: "ERR_DIRECT_INVOKE", message }) },
  };
}

function notFound(id: string, namespace: string): string {
  return `no host found with the given ID: app "${id}" in namespace "${namespace}" is not in the registry at HOME/registry; is it running?`;
}

/** What daprd does with a GET of another path that it has nothing against. */
function answeredByApp(path: string): Exchange {
  const usual = cases.find(({ id }) => id === "invoke path: percent 20");
  if (usual === undefined) throw new Error("the recording has no usual case");
  const exchange = recordedExchange(usual);
  return { ...exchange, app: exchange.app.map((request) => ({ ...request, path })) };
}

function toApp(exchange: Exchange, rewrite: (headers: HeaderValues) => HeaderValues): Exchange {
  const app = exchange.app.map((request): AppRequest => ({ ...request, headers: rewrite(request.headers) }));
  return { ...exchange, app };
}

function fromSidecar(exchange: Exchange, rewrite: (headers: HeaderValues) => HeaderValues): Exchange {
  const answer: Answer = { ...exchange.answer, headers: rewrite(exchange.answer.headers) };
  return { ...exchange, answer };
}

type Metadata = Readonly<Record<string, unknown>>;

/** Only where the answer is metadata. A changed field keeps its place, since bodies are compared byte for byte. */
function inMetadata(exchange: Exchange, rewrite: (metadata: Metadata) => Metadata): Exchange {
  const { answer } = exchange;
  if (!answer.body.includes('"runtimeVersion":')) return exchange;
  const metadata = rewrite(JSON.parse(answer.body) as Metadata);
  return { ...exchange, answer: { ...answer, body: `${goJson(metadata)}\n` } };
}

interface Batch {
  readonly entries: readonly { readonly event: { readonly data: unknown } }[];
}

/** In the order in which they were published: the object first. */
function inOneBatch(requests: readonly AppRequest[]): AppRequest {
  const batches = requests.map(({ body }) => JSON.parse(body) as Batch);
  const entries = batches.flatMap((batch) => batch.entries).map((entry) => ({ ...entry, metadata: {} }));
  entries.sort((a, b) => (typeof a.event.data < typeof b.event.data ? -1 : 1));
  const [first] = requests;
  if (first === undefined) throw new Error("the recorded daprd handed over two batches");
  return { ...first, body: inExactForm(JSON.stringify({ ...batches[0], entries })) };
}

function leaveOut(metadata: Metadata, ...keys: readonly string[]): Metadata {
  return Object.fromEntries(Object.entries(metadata).filter(([key]) => !keys.includes(key)));
}

/** What the app and the sidecar have added. */
function extendedOf(metadata: Metadata): Metadata {
  return metadata["extended"] as Metadata;
}

function without(headers: HeaderValues, name: string): HeaderValues {
  return Object.fromEntries(Object.entries(headers).filter(([other]) => other !== name));
}

function ownVersion(): string {
  const manifest = new URL("../../package.json", import.meta.url);
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
}
