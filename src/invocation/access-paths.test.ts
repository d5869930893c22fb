import assert from "node:assert/strict";
import { posix, win32 } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { parseAppId, parseNamespace } from "../core/app-id.ts";
import type { Clock } from "../core/clock.ts";
import { OutriggerError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import { spiffeIdOf } from "../core/spiffe-id.ts";
import type { AccessAction, AccessControlSpec, AccessOperationSpec } from "../resources/access-control-spec.ts";
import { AccessControl } from "../security/access-control.ts";
import { ConcurrencyLimit } from "./concurrency-limit.ts";
import { Invoker } from "./invoker.ts";
import { Receiver } from "./receiver.ts";
import { StartGate } from "./start-gate.ts";

/** No way of writing a path gets a call past an access rule: caller's side, callee's side and what apps make of it. */

// The same paths at every run; a failure prints the seed and the shortest path that fails.
// `npm run test:long` tries harder, and elsewhere on each run.
const RUNS = process.env["OUTRIGGER_TEST_LONG"] === "1" ? { numRuns: 20_000 } : { seed: 20_261_121, numRuns: 2000 };

const namespace = parseNamespace("prod");
const front = { id: parseAppId("front"), namespace };
const vault = { id: parseAppId("vault"), namespace };
const identity = spiffeIdOf("public", front);

const ignore = (): void => undefined;
const log: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };
const clock: Clock = { now: () => 0, monotonic: () => 0, sleep: () => Promise.reject(new Error("nobody waits here")) };

/** Front calls vault in the same process. @returns the path that vault's app was sent; undefined where the call was refused. */
function vaultOf(spec: Omit<AccessControlSpec, "trustDomain">, preservePath: boolean) {
  let reached: string | undefined;
  const parts = {
    limit: new ConcurrencyLimit(0, 1),
    gate: new StartGate(clock, 0),
    health: undefined,
    speaksGrpc: false,
    log,
  };
  const callee = new Receiver({
    ...parts,
    channel: {
      call: ({ path }) => {
        reached = path;
        return Promise.resolve({ status: 200, statusText: "OK", headers: [], body: undefined });
      },
    },
    limitBody: (request) => request,
    access: new AccessControl({ ...spec, trustDomain: "public" }),
  });
  const neighbour = { instanceId: "1", receive: callee.receive.bind(callee) };
  const invoker = new Invoker({
    self: front,
    identity,
    host: { address: "10.0.0.7", hostname: "vm" },
    receiver: new Receiver({ ...parts, channel: undefined, limitBody: (request) => request, access: undefined }),
    neighbours: { find: () => neighbour },
    peers: { call: () => Promise.reject(new Error("vault is in this process")) },
    resolver: {
      staleMs: 0,
      worthAskingAgain: false,
      description: "nowhere",
      start: () => Promise.resolve(),
      announce: () => Promise.reject(new Error("nobody was to be announced")),
      resolve: () => Promise.resolve([]),
      reportUnreachable: ignore,
      close: () => Promise.resolve(),
    },
    observer: { callEnded: ignore },
    clock,
    preservePath,
    rules: { endpoints: new Map(), policies: undefined, appPipeline: undefined },
    endpointCaller: { call: () => Promise.reject(new Error("no endpoint")) },
    safeRetries: false,
    grpcErrorStatus: "fixed",
  });
  return async (rawPath: string): Promise<string | undefined> => {
    reached = undefined;
    try {
      await invoker.invoke({
        target: vault.id,
        rawPath,
        methodMissing: false,
        method: "GET",
        query: undefined,
        headers: [],
        trace: { traceparent: "", answeredTraceparent: "", tracestate: undefined, baggage: undefined },
        body: undefined,
        contentLength: undefined,
        signal: new AbortController().signal,
      });
    } catch (error) {
      if (!(error instanceof OutriggerError)) throw error;
      assert.match(error.message, /code = (?:PermissionDenied|InvalidArgument) /);
      assert.equal(reached, undefined);
    }
    return reached;
  };
}

/** What apps make of the path they are sent, as their libraries do it and not as Outrigger's code does. */
const APPS: Readonly<Record<string, (wire: string) => string | string[]>> = {
  "routes, then decodes": (wire) => wire.split("/").map(decode),
  "decodes, and cleans nothing": decode,
  "decodes, then cleans": (wire) => posix.normalize(decode(wire)),
  "cleans, then decodes": (wire) => decode(posix.normalize(wire)),
  "follows the URL Standard, then decodes": (wire) => decode(new URL(`http://vault${wire}`).pathname),
  "decodes, then follows the URL Standard": (wire) =>
    decode(new URL(`http://vault${decode(wire).replace(/%/g, "%25")}`).pathname),
  "is a servlet": (wire) => posix.normalize(decode(wire.replace(/;[^/]*/g, ""))),
  "is a servlet that decodes first": (wire) => posix.normalize(decode(wire).replace(/;[^/]*/g, "")),
  "stands behind a proxy that decodes too": (wire) => posix.normalize(decode(decode(wire))),
  "decodes twice, then follows the URL Standard": (wire) =>
    decode(new URL(`http://vault${decode(decode(wire)).replace(/%/g, "%25")}`).pathname),
  "is written in C, behind a proxy that decodes": (wire) => posix.normalize(decode(decode(wire)).replace(/\0.*$/s, "")),
  "decodes twice, then cuts the query off": (wire) => posix.normalize(decode(decode(wire)).replace(/[?#].*$/s, "")),
  "runs on Windows": (wire) => win32.normalize(decode(wire)).replaceAll("\\", "/"),
  "opens files on Windows": (wire) =>
    win32.normalize(decode(wire).replace(/(?<=[^\\/. ][^\\/]*?)[. ]+(?=[\\/]|$)/g, "")).replaceAll("\\", "/"),
  "knows Unicode's compatible forms": (wire) => posix.normalize(decode(wire).normalize("NFKC")),
};

function decode(path: string): string {
  const bytes = path.replace(/%([0-9A-Fa-f]{2})|[^%]/gsu, (char, hex: string | undefined) =>
    hex === undefined ? Buffer.from(char, "utf8").toString("latin1") : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, "latin1").toString("utf8");
}

/**
 * Whether the path is `folder` or beneath it, for one who does not look at case or at empty segments.
 *
 * @param path an array where it has been split already: its segments may have slashes in them.
 */
function isUnder(folder: string, path: string | string[]): boolean {
  const segments = (typeof path === "string" ? path.split("/") : path)
    .filter((segment) => segment !== "")
    .map((segment) => segment.normalize("NFC").toUpperCase().toLowerCase());
  return folder
    .split("/")
    .slice(1)
    .every((segment, at) => segments[at] === segment);
}

// With what any of the apps above might read as part of a path under /admin/keys or /open.
const piece = fc.constantFrom(
  ...["/", "//", "/./", "/../", "%2F", "%2f", "\\", "%5C", "%5c", "%255C", "%252F", "\uFF0F", "%EF%BC%8F"],
  ...[".", "..", "%2e", "%2E%2e", "%252e", ".%2e", "..;", "..%3B", "\u2025", "\uFF0E"],
  ...[
    "admin",
    "ADMIN",
    "Admin",
    "%61dmin",
    "%2561dmin",
    "adm%69n",
    "\uFF41dmin",
    "%EF%BD%81dmin",
    "admin;x=1",
    "admin%3Bx",
  ],
  ...["keys", "KEYS", "key%73", "key%2573", "keys;", "\u212Aeys", "key\u017F"],
  ...[
    "open",
    "o%70en",
    "x",
    "y",
    "%",
    "%25",
    "%2525",
    "%253F",
    "%2523",
    "%2500",
    "%3F",
    "%20",
    "%2520",
    ";",
    "é",
    "e\u0301",
    "%ff",
    "%C0%AF",
  ],
);
const anyPath = fc.array(piece, { maxLength: 9 }).map((pieces) => `/${pieces.join("")}`);

for (const preservePath of [false, true]) {
  const mode = preservePath ? "sent as it was written" : "sent clean";

  test(`whatever reaches an app, ${mode}, no app takes for a denied path`, async () => {
    const operations = [{ name: "/admin/keys", verbs: ["*"], action: "deny" } as const];
    const policies = [{ caller: identity, defaultAction: "allow", operations } as const];
    const call = vaultOf({ defaultAction: "deny", policies }, preservePath);
    const seen = { reached: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(anyPath, async (raw) => {
        const wire = await call(raw);
        seen[wire === undefined ? "refused" : "reached"]++;
        if (wire === undefined) return;
        for (const [name, route] of Object.entries(APPS)) {
          assert.ok(!isUnder("/admin/keys", route(wire)), `an app that ${name} was sent ${wire}`);
        }
      }),
      RUNS,
    );
    // Else the property would say nothing.
    assert.ok(seen.reached > RUNS.numRuns / 4 && seen.refused > RUNS.numRuns / 100, JSON.stringify(seen));
  });

  test(`whatever reaches an app, ${mode}, every app takes for an allowed path`, async () => {
    const operations = [{ name: "/open/**", verbs: ["*"], action: "allow" } as const];
    const call = vaultOf(
      { defaultAction: "deny", policies: [{ caller: identity, defaultAction: "deny", operations }] },
      preservePath,
    );
    const seen = { reached: 0, refused: 0 };
    const oftenOpen = fc.oneof(
      anyPath,
      anyPath.map((path) => `/open${path}`),
    );
    await fc.assert(
      fc.asyncProperty(oftenOpen, async (raw) => {
        const wire = await call(raw);
        seen[wire === undefined ? "refused" : "reached"]++;
        if (wire === undefined) return;
        for (const [name, route] of Object.entries(APPS)) {
          assert.ok(isUnder("/open", route(wire)), `an app that ${name} was sent ${wire}`);
        }
      }),
      RUNS,
    );
    assert.ok(seen.reached > RUNS.numRuns / 10 && seen.refused > RUNS.numRuns / 10, JSON.stringify(seen));
  });

  test(`no way of writing a denied path reaches an app, ${mode}`, async () => {
    const policies = [{ caller: identity, defaultAction: "allow", operations: DENIED } as const];
    const call = vaultOf({ defaultAction: "allow", policies }, preservePath);
    await fc.assert(
      fc.asyncProperty(disguised, async (raw) => {
        assert.equal(await call(raw), undefined);
      }),
      RUNS,
    );
    // What is not denied does, under the same disguises.
    assert.notEqual(await call("/ad%6Din/%256Beyring;x"), undefined);
  });
}

const PAST_THE_RULES: [why: string, rule: AccessOperationSpec, raw: string][] = [
  ["an escaped slash ends what is allowed", rule("allow", "/items/**"), "/items%2Fx/admin"],
  ["an escaped slash hides a segment", rule("deny", "/users/*/secrets"), "/users/a%2Fb/secrets"],
  ["the same in lower case", rule("deny", "/users/*/secrets"), "/users/a%2fb/secrets"],
  ["letters that only some take for the same", rule("allow", "/pub/maße"), "/pub/masse"],
  ["a query ends what is denied", rule("deny", "/admin/keys"), "/admin/keys%253Fx"],
  ["a fragment ends what is denied", rule("deny", "/admin/keys"), "/admin/keys%2523"],
  ["NUL ends what is denied", rule("deny", "/admin/keys"), "/admin/keys%2500"],
  ["Windows drops a dot", rule("deny", "/admin/keys"), "/admin./keys"],
  ["Windows drops a dot at the end", rule("deny", "/admin/keys"), "/admin/keys."],
  ["Windows drops a space", rule("deny", "/admin/keys"), "/admin/keys%20"],
  ["the same, further up", rule("deny", "/admin/keys"), "/admin%20./keys/1"],
  ["two dots take away nothing", rule("deny", "/admin/keys"), "/admin//../keys"],
  ["the same, escaped", rule("deny", "/admin/keys"), "/admin//%2e%2e/keys"],
  ["a query is cleaned away", rule("deny", "/admin/keys"), "/admin/keys%3Fx/../../../x"],
];

for (const [why, operation, raw] of PAST_THE_RULES) {
  test(`${why}: ${operation.action} ${operation.name} lets nobody call ${raw} as it was written`, async () => {
    const defaultAction = operation.action === "allow" ? "deny" : "allow";
    const policies = [{ caller: identity, defaultAction, operations: [operation] } as const];
    assert.equal(await vaultOf({ defaultAction: "deny", policies }, true)(raw), undefined);
  });
}

function rule(action: AccessAction, name: string): AccessOperationSpec {
  return { name, verbs: ["*"], action };
}

const DENIED = [{ name: "/admin/keys", verbs: ["*"], action: "deny" } as const];

/** Ways to write one slash. */
const slash = fc.constantFrom(
  ...["/", "//", "%2F", "%2f", "/./", "/%2e/", "/x/../", "/x/%2E./", "%2fx%2F%2e%2e%2f", "/x%2Fy/%2e%2e/../"],
  ...["%5C", "%5c", "%255C", "%252f", "/.;x/", "/x/..;/", "/x%5C..%5c", "%EF%BC%8F", "/;/", "/%3Bx=1/"],
  ...["./", "%20/", "%2e%20%5C", "%2520/", "/...%2F"],
);
const letterCase = fc.constantFrom("lower", "upper");
const spelling = fc.constantFrom("as it is", "escaped", "escaped twice", "fullwidth", "escaped fullwidth");
const ending = fc.constantFrom(
  "",
  "/",
  "//",
  "/.",
  "%2F",
  "/x/..",
  ";x=1",
  "%3Bx",
  ";",
  "/users/1",
  "/..;/keys",
  "%5C",
  "%253F",
  "%253fx=1/y",
  "%2523",
  "%2500",
  "%3F",
  ".",
  "..",
  "%20",
  "%20./x",
  "%252e",
);

const disguised = fc
  .record({
    leading: fc.constantFrom("", "/", "//", "/../", "%2F..%2f", "./", "x/../", "%252e/", "%2e;/"),
    between: slash,
    cases: fc.array(letterCase, { minLength: 1, maxLength: 9 }),
    spellings: fc.array(spelling, { minLength: 1, maxLength: 9 }),
    ending,
  })
  .map(({ leading, between, cases, spellings, ending: end }) => {
    let at = 0;
    const spelled = (word: string): string =>
      Array.from(word, (letter) => spell(letter, cases[at % cases.length], spellings[at++ % spellings.length])).join(
        "",
      );
    return `/${leading}${spelled("admin")}${between}${spelled("keys")}${end}`;
  });

function spell(letter: string, asCase = "lower", how = "as it is"): string {
  const plain = asCase === "upper" ? letter.toUpperCase() : letter;
  const wide = String.fromCharCode(plain.charCodeAt(0) + 0xfee0);
  if (how === "escaped") return `%${plain.charCodeAt(0).toString(16)}`;
  if (how === "escaped twice") return `%25${plain.charCodeAt(0).toString(16)}`;
  if (how === "fullwidth") return wide;
  return how === "escaped fullwidth" ? encodeURIComponent(wide) : plain;
}
