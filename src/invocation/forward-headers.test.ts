import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type AppIdentity, parseAppId, parseNamespace } from "../core/app-id.ts";
import {
  addCallerHeaders,
  addCallerMetadata,
  addTraceHeaders,
  preparedMetadata,
  requestHeadersFromApp,
  requestHeadersFromPeer,
  requestMetadataFromApp,
  requestMetadataFromPeer,
  responseHeadersFromApp,
} from "./forward-headers.ts";

// The same headers at every run; a failure prints the seed and the shortest list that fails.
// `npm run test:long` tries harder, and elsewhere on each run.
const RUNS = process.env["OUTRIGGER_TEST_LONG"] === "1" ? { numRuns: 100_000 } : { seed: 20_261_121, numRuns: 3000 };

const HOP_BY_HOP = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
];
const OF_ONE_CONNECTION = ["host", "content-length", "expect"];
const TRACE = ["traceparent", "tracestate", "baggage"];

test("headers pass from app to app with their case, order and repeats", () => {
  const sent = ["X-Rep", "a", "COOKIE", "a=b", "x-rep", "", "Authorization", "Bearer abc", "X-Rep", "a"];
  assert.deepEqual(requestHeadersFromApp(sent), sent);
  assert.deepEqual(requestHeadersFromPeer(sent), sent);
  assert.deepEqual(responseHeadersFromApp(sent), sent);
});

test("names listed in any Connection header end here, however they are written", () => {
  const sent = ["Connection", "close, X-Drop", "x-drop", "1", "X-Keep", "2", "connection", " ,x-too,, ", "X-TOO", "3"];
  assert.deepEqual(requestHeadersFromApp(sent), ["X-Keep", "2"]);
});

test("what is about one connection is set anew on the next", () => {
  const sent = ["Host", "a", "Content-Length", "3", "Expect", "100-continue", "X", "1"];
  assert.deepEqual(requestHeadersFromApp(sent), ["X", "1"]);
  assert.deepEqual(requestHeadersFromPeer(sent), ["X", "1"]);
});

test("the length of an answer passes", () => {
  assert.deepEqual(responseHeadersFromApp(["Content-Length", "3"]), ["Content-Length", "3"]);
});

test("nobody but Outrigger says who calls whom", () => {
  const forged = [
    ...["Dapr-Caller-App-Id", "liar", "dapr-caller-namespace", "liar", "DAPR-CALLEE-APP-ID", "liar"],
    ...["dapr-callee-namespace", "liar", "dapr-caller-anything", "liar", "destination-app-id", "liar"],
  ];
  assert.deepEqual(requestHeadersFromApp([...forged, "dapr-custom", "y"]), ["dapr-custom", "y"]);
});

test("nor does anybody with underscores, which CGI and WSGI apps read as dashes", () => {
  const forged = [
    ...["dapr_caller_app_id", "liar", "Dapr_Caller_Namespace", "liar", "DAPR_CALLEE_APP_ID", "liar"],
    ...["dapr-caller_app-id", "liar", "dapr_caller-anything", "liar", "Destination_App-Id", "liar"],
  ];
  const honest = ["dapr_custom", "y", "dapr_callers", "z", "destination_app_ids", "x", "my_dapr_caller_app_id", "w"];
  assert.deepEqual(requestHeadersFromApp([...forged, ...honest]), honest);
});

test("what the caller's sidecar says of the caller passes the callee's sidecar", () => {
  const said = ["Dapr-Caller-App-Id", "front", "Dapr-Callee-App-Id", "math", "Traceparent", "zz"];
  assert.deepEqual(requestHeadersFromPeer(said), said);
});

test("no Connection header takes away what the caller's sidecar has added", () => {
  const added = [
    ...["dapr-caller-app-id", "front", "Dapr-Callee-App-Id", "math", "Traceparent", "zz", "baggage", "k=v"],
    ...["X-Forwarded-For", "10.0.0.7", "X-Forwarded-Host", "vm", "Forwarded", "for=10.0.0.7"],
  ];
  const names = added.filter((_, at) => at % 2 === 0).join(", ");
  assert.deepEqual(requestHeadersFromPeer(["Connection", `${names}, x-drop`, "X-Drop", "1", ...added]), added);
});

test("of who calls whom, only what was said last is believed: an app behind a daprd may have said the rest", () => {
  const forged = ["Dapr-Caller-App-Id", "liar", "dapr_caller_app_id", "liar", "dapr-callee-app-id", "liar"];
  const said = ["dapr-caller-app-id", "front", "dapr-caller-namespace", "prod", "Dapr-Callee-App-Id", "math"];
  const own = ["x-own", "1", "x-own", "2"];
  assert.deepEqual(requestHeadersFromPeer([...forged, ...own, ...said]), [...own, ...said]);
  assert.deepEqual(requestMetadataFromPeer([...forged, ...own, ...said]), [...own, ...said]);
});

test("gRPC's own names go on under another one, and its binary ones end here", () => {
  const sent = ["grpc-timeout", "1S", "Grpc-Foo", "bar", "grpc-trace-bin", "AAAA", "Grpc-Tags-Bin", "AAAA"];
  assert.deepEqual(requestHeadersFromApp(sent), ["Dapr-grpc-timeout", "1S", "Dapr-Grpc-Foo", "bar"]);
});

test("binary metadata goes on, for the callee may be a gRPC app, where it can be base64", () => {
  const good = ["X-Thing-BIN", "AAAA", "x-b-bin", "eno", "x-b-bin", "eno=, AA==", "x-empty-bin", ""];
  const bad = ["x-bad-bin", "a%b", "x-bad-bin", "\u00e9"];
  assert.deepEqual(requestHeadersFromApp([...good, ...bad]), good);
});

test("of several content types the app gets the first that says something: they are the message's, and it has one", () => {
  const sent = [
    "X",
    "1",
    "content-type",
    "",
    "Content-Type",
    "a/b",
    "Y",
    "2",
    "content-type",
    "c/d",
    "CONTENT-TYPE",
    "",
  ];
  assert.deepEqual(requestHeadersFromApp(sent), ["X", "1", "Content-Type", "a/b", "Y", "2"]);
});

test("an app gets one content type at most, whatever else is sent", () => {
  const type = fc.tuple(
    fc.constantFrom("Content-Type", "content-type", "CONTENT-TYPE"),
    fc.constantFrom("", "a/b", "c"),
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(type, fc.tuple(name, value)), { maxLength: 12 }), (sent) => {
      const isType = ([name]: Pair): boolean => name.toLowerCase() === "content-type";
      const kept = pairsOf(requestHeadersFromApp(sent.flat()));
      assert.deepEqual(kept.filter(isType), sent.filter((pair) => isType(pair) && pair[1] !== "").slice(0, 1));
      const others = pairsOf(requestHeadersFromApp(sent.filter((pair) => !isType(pair)).flat()));
      assert.deepEqual(
        kept.filter((pair) => !isType(pair)),
        others,
      );
    }),
    RUNS,
  );
});

test("trace headers are taken out of what an app sends, in either direction", () => {
  const sent = ["Traceparent", "zz", "tracestate", "a=b", "BAGGAGE", "k=v", "X", "1"];
  assert.deepEqual(requestHeadersFromApp(sent), ["X", "1"]);
  assert.deepEqual(responseHeadersFromApp(sent), ["X", "1"]);
});

test("the callee gets the caller's trace", () => {
  const headers: string[] = [];
  addTraceHeaders(headers, { traceparent: "zz", answeredTraceparent: "00", tracestate: "a=b", baggage: "k=v" });
  assert.deepEqual(headers, ["Traceparent", "zz", "Tracestate", "a=b", "Baggage", "k=v"]);
});

test("the callee gets no trace header that the caller's trace does not have", () => {
  const headers: string[] = [];
  addTraceHeaders(headers, { traceparent: "zz", answeredTraceparent: "00", tracestate: undefined, baggage: undefined });
  assert.deepEqual(headers, ["Traceparent", "zz"]);
});

const call = { caller: app("front", "prod"), callee: app("math", "testing") };

test("the callee is told who calls whom, and from where", () => {
  const headers = ["X-Forwarded-For", "1.2.3.4"];
  addCallerHeaders(headers, { ...call, host: { address: "10.0.0.7", hostname: "vm" } });
  assert.deepEqual(headers, [
    ...["X-Forwarded-For", "1.2.3.4"],
    ...["Dapr-Caller-App-Id", "front", "Dapr-Caller-Namespace", "prod", "Dapr-Callee-App-Id", "math"],
    ...["X-Forwarded-For", "10.0.0.7", "X-Forwarded-Host", "vm"],
    ...["Forwarded", "for=10.0.0.7;by=10.0.0.7;host=vm"],
  ]);
});

test("an IPv6 address is bracketed and quoted in Forwarded, and only there", () => {
  const headers: string[] = [];
  addCallerHeaders(headers, { ...call, host: { address: "fd00::7", hostname: "vm" } });
  assert.deepEqual(headers.slice(6), [
    ...["X-Forwarded-For", "fd00::7", "X-Forwarded-Host", "vm"],
    ...["Forwarded", 'for="[fd00::7]";by="[fd00::7]";host=vm'],
  ]);
});

type Pair = [name: string, value: string];

const token = fc.string({ unit: fc.constantFrom(...Array.from("abXYZ019-_.!~")), minLength: 1, maxLength: 8 });

/** Names that mean something here, their near misses, and any others. */
const lowerName = fc.oneof(
  fc.constantFrom(...HOP_BY_HOP.filter((name) => name !== "connection"), ...OF_ONE_CONNECTION, ...TRACE),
  fc.constantFrom("destination-app-id", "dapr-api-token", "dapr-app-id", "dapr-custom", "outrigger", "dapr-caller"),
  fc.constantFrom("destination_app_id", "destination-app_id", "dapr_custom", "dapr_caller", "dapr_callers"),
  fc
    .constantFrom("outrigger-", "dapr-caller-", "dapr-callee-", "dapr_caller_", "dapr-callee_", "dapr_callee-", "grpc-")
    .chain((prefix) => token.map((rest) => prefix + rest)),
  token.map((name) => `${name}-bin`),
  token,
);

/** The same name in any letter case. */
const name = fc.tuple(lowerName, fc.array(fc.boolean(), { minLength: 1, maxLength: 24 })).map(([text, upper]) =>
  Array.from(text)
    .map((char, at) => (upper[at % upper.length] === true ? char.toUpperCase() : char))
    .join(""),
);

const value = fc.string({ unit: fc.constantFrom(...Array.from("aB3 ,;=%\u00e9")), maxLength: 6 });

/** Headers as they come off the wire, with Connection headers that list some of the others' names. */
const headers = fc
  .record({
    pairs: fc.array(fc.tuple(name, value), { maxLength: 12 }),
    listed: fc.array(fc.nat({ max: 11 }), { maxLength: 4 }),
    comma: fc.constantFrom(",", ", ", " ,, "),
    connection: fc.constantFrom("Connection", "connection", "CONNECTION"),
    split: fc.boolean(),
  })
  .map(({ pairs, listed, comma, connection, split }) => {
    const names = listed.flatMap((at) => pairs[at]?.[0].toUpperCase() ?? []);
    const lists = split ? names : names.length > 0 ? [names.join(comma)] : [];
    const all: Pair[] = [...pairs, ...lists.map((list): Pair => [connection, list])];
    return { flat: all.flat(), pairs: all, listed: new Set(names.map((listedName) => listedName.toLowerCase())) };
  });

interface Sent {
  readonly pairs: readonly Pair[];
  readonly listed: ReadonlySet<string>;
}

/** What ends at every hop, whichever way it goes. */
function endsAtAnyHop(lower: string, { listed }: Sent): boolean {
  return HOP_BY_HOP.includes(lower) || lower.startsWith("outrigger-") || listed.has(lower);
}

/** However its words are joined. */
function saysWhoCallsWhom(lower: string): boolean {
  const [first, second, third, ...more] = lower.split(/[-_]/);
  if (first === "dapr") return (second === "caller" || second === "callee") && third !== undefined;
  return first === "destination" && second === "app" && third === "id" && more.length === 0;
}

/** What a peer's sidecar says, whatever a Connection header lists. */
function isAdded(what: string, lower: string): boolean {
  const isFromPeer = what === "a peer's request";
  return isFromPeer && (saysWhoCallsWhom(lower) || TRACE.includes(lower) || lower.includes("forwarded"));
}

/** Of who calls whom, only the last counts. */
function isSaidAgain(name: string, behind: readonly Pair[]): boolean {
  const comparable = (text: string): string => text.toLowerCase().replaceAll("_", "-");
  return saysWhoCallsWhom(name.toLowerCase()) && behind.some(([other]) => comparable(other) === comparable(name));
}

/** Metadata that is bytes and cannot be, or that is gRPC's own. */
function isNoMetadata(lower: string, value: string): boolean {
  return lower.endsWith("-bin") && (lower.startsWith("grpc-") || /[^A-Za-z0-9+/=, ]/.test(value));
}

const DIRECTIONS: [
  what: string,
  forward: (sent: readonly string[]) => string[],
  ends: (lower: string, value: string) => boolean,
][] = [
  [
    "an app's request",
    requestHeadersFromApp,
    (lower, value) =>
      [...OF_ONE_CONNECTION, ...TRACE].includes(lower) || saysWhoCallsWhom(lower) || isNoMetadata(lower, value),
  ],
  ["a peer's request", requestHeadersFromPeer, (lower) => OF_ONE_CONNECTION.includes(lower)],
  ["an app's answer", responseHeadersFromApp, (lower) => TRACE.includes(lower)],
];

for (const [what, forward, ends] of DIRECTIONS) {
  test(`of ${what}, what must end here does, in any letter case`, () => {
    fc.assert(
      fc.property(headers, (sent) => {
        const kept = pairsOf(forward(sent.flat)).map(([kept, text]): Pair => [kept.toLowerCase(), text]);
        assert.deepEqual(
          kept.filter(
            ([lower, text]) =>
              (endsAtAnyHop(lower, sent) && !isAdded(what, lower)) || ends(lower, text) || lower.startsWith("grpc-"),
          ),
          [],
        );
      }),
      RUNS,
    );
  });

  test(`of ${what}, everything else survives with values, order and repeats`, () => {
    let survivors = 0;
    fc.assert(
      fc.property(headers, (sent) => {
        const expected = sent.pairs
          .filter(([original, text]) => {
            const lower = original.toLowerCase();
            return (!endsAtAnyHop(lower, sent) || isAdded(what, lower)) && !ends(lower, text);
          })
          .filter(([original], at, all) => what !== "a peer's request" || !isSaidAgain(original, all.slice(at + 1)))
          .map(([original, text]): Pair => [/^grpc-/i.test(original) ? `Dapr-${original}` : original, text]);
        survivors += expected.length;
        assert.deepEqual(pairsOf(forward(sent.flat)), expected);
      }),
      RUNS,
    );
    assert.ok(survivors > RUNS.numRuns, `only ${survivors} headers were to survive`);
  });

  test(`of ${what}, a second pass takes nothing more`, () => {
    fc.assert(
      fc.property(headers, ({ flat }) => {
        const once = forward(flat);
        assert.deepEqual(forward(once), once);
      }),
      RUNS,
    );
  });
}

function pairsOf(flat: readonly string[]): Pair[] {
  const pairs: Pair[] = [];
  for (let i = 0; i < flat.length; i += 2) pairs.push([flat[i] ?? "", flat[i + 1] ?? ""]);
  return pairs;
}

function app(id: string, namespace: string): AppIdentity {
  return { id: parseAppId(id), namespace: parseNamespace(namespace) };
}

const METADATA = [
  ...["content-type", "application/grpc+proto", "te", "trailers", "user-agent", "grpc-go/1.80.0"],
  ...["grpc-encoding", "gzip", "grpc-accept-encoding", "identity,gzip", "grpc-timeout", "1S"],
  ...["x-some-bin", "AAE", "x-some-bin", "AAI", "dapr-stream", "true", "dapr-api-token", "t"],
];
const KEPT_METADATA = [...METADATA.slice(0, 2), ...METADATA.slice(4)];

test("gRPC: metadata goes on whole, but for its connection, its target, and what only Outrigger may say", () => {
  const only = ["Host", "x", "dapr-app-id", "math", "dapr-callee-app-id", "math", "dapr_caller_app-id", "liar"];
  assert.deepEqual(requestMetadataFromApp([...METADATA, ...only, "outrigger-target", "x"]), KEPT_METADATA);
  assert.deepEqual(preparedMetadata([...METADATA, "Host", "x", "outrigger-target", "x"]), KEPT_METADATA);
});

test("gRPC: no trailer is about a connection, and none Outrigger's own", () => {
  const trailers = ["grpc-status", "5", "x-own", "1", "x-own-bin", "AAE"];
  const dropped = [...HOP_BY_HOP, ...OF_ONE_CONNECTION, "outrigger-error", "Outrigger-From"];
  assert.deepEqual(preparedMetadata([...dropped.flatMap((name) => [name, "x"]), ...trailers]), trailers);
});

test("gRPC: who calls whom is said once, and the trace in both forms", () => {
  const caller = { id: parseAppId("front"), namespace: parseNamespace("prod") };
  const callee = { id: parseAppId("math"), namespace: parseNamespace("prod") };
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const trace = { traceparent, answeredTraceparent: traceparent, tracestate: "a=b", baggage: undefined };
  const sent = ["traceparent", "zz", "tracestate", "a=b", "grpc-trace-bin", "AA", "baggage", "k=v"];
  assert.deepEqual(addCallerMetadata(sent, { caller, callee, trace }), [
    ...["tracestate", "a=b", "baggage", "k=v", "dapr-caller-app-id", "front", "dapr-callee-app-id", "math"],
    ...["traceparent", traceparent, "grpc-trace-bin", "AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE"],
  ]);
});
