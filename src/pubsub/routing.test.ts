import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CloudEvent } from "./cloud-event.ts";
import { eventExpressionsFor } from "./event-expressions.ts";
import { type Route, Routes, RuleError } from "./routing.ts";

function event(members: string | Readonly<Record<string, unknown>>): CloudEvent {
  return CloudEvent.parse(Buffer.from(typeof members === "string" ? members : JSON.stringify(members)));
}

/** Rules by number: the first goes to `/0`. */
async function routesOf(matches: readonly string[], defaultPath: string | undefined = "/default"): Promise<Routes> {
  const rules = matches.map((match, index) => ({ match, path: `/${index}` }));
  const subscription = { rules, defaultPath, metadata: new Map<string, string>() };
  return new Routes(subscription, await eventExpressionsFor([subscription]));
}

async function routed(matches: readonly string[], of: CloudEvent, defaultPath?: string): Promise<string> {
  return said((await routesOf(matches, defaultPath)).routeOf(of));
}

function said(route: Route): string {
  if (route.kind === "broken") return `broken: ${route.why}`;
  return route.kind === "none" ? "none" : route.path;
}

/** What one expression comes to. */
async function valueOf(expression: string, of: CloudEvent): Promise<string> {
  const [trial] = (await routesOf([expression])).tryAll(of);
  return trial?.value ?? trial?.error ?? "nothing";
}

test("the first rule that matches has the event, else the default", async () => {
  const rules = ["event.type == 'v1'", "event.data.n > 5"];
  assert.equal(await routed(rules, event({ type: "v1", data: { n: 1 } })), "/0");
  assert.equal(await routed(rules, event({ type: "v2", data: { n: 9 } })), "/1");
  assert.equal(await routed(rules, event({ type: "v2", data: { n: 2 } })), "/default");
});

test("without a rule that matches and without a default an event has no route", () => {
  const routes = new Routes({ rules: [], defaultPath: undefined });
  assert.deepEqual(routes.routeOf(event({})), { kind: "none" });
});

test("an empty match takes every event that gets there", async () => {
  assert.equal(await routed(["event.type == 'v1'", "", "true"], event({ type: "v2" })), "/1");
  const routes = new Routes({ rules: [{ match: "", path: "/all" }], defaultPath: "/default" });
  assert.equal(said(routes.routeOf(event({}))), "/all");
  assert.deepEqual(routes.tryAll(event({})), [{ match: "", path: "/all", value: "true", error: undefined }]);
});

test("a rule that fails stops routing, and the rules behind it are not asked", async () => {
  assert.match(await routed(["event.data.n > 5", "true"], event({ data: {} })), /^broken: .*no field n/);
  assert.match(await routed(["event.data.n > 5", "true"], event({ type: "v1" })), /^broken: .*no field data/);
  assert.match(await routed(["kind == 'a'", "true"], event({ kind: "a" })), /^broken: .*begins with event\./);
});

test("a rule that is no boolean stops routing", async () => {
  assert.match(await routed(["event.type"], event({ type: "true" })), /^broken: .*it is "true", a string$/);
  assert.match(await routed(["event.data"], event({ data: 1 })), /^broken: .*it is 1\.0, a double$/);
});

test("a rule that is no CEL expression is refused, by its number", async () => {
  for (const bad of [
    "event.type = 'v1'",
    "event.",
    "a b",
    "(".repeat(50_000),
    "event.type.shout() == 'A'",
    "nope(event)",
  ]) {
    await assert.rejects(routesOf(["true", bad]), (error) => {
      assert.ok(error instanceof RuleError, bad.slice(0, 20));
      assert.equal(error.index, 1);
      assert.match(error.message, /^the rule for \/1: ".*" is no CEL expression: ./s);
      return true;
    });
  }
});

test("a dry run says what became of each rule", async () => {
  const routes = await routesOf(["event.data.n > 5", "event.data.s > 5", "event.data.s", "event.data.n == 9"]);
  assert.deepEqual(
    routes.tryAll(event({ data: { n: 9, s: "x" } })).map(({ value, error }) => value ?? error),
    ["true", "> cannot be applied to string and int", 'it is neither true nor false: it is "x", a string', "true"],
  );
});

test("numbers of JSON are compared and reckoned with as a user would expect", async () => {
  const of = event({ data: { n: 9, half: 0.5, zero: 0, list: [1, 2, 3] } });
  const holds = [
    ...[
      "event.data.n == 9",
      "event.data.n == 9.0",
      "event.data.n == 9u",
      "event.data.n != 8",
      "event.data.n in [8, 9]",
    ],
    ...[
      "event.data.n > 5",
      "5 < event.data.n",
      "event.data.n >= 9.0",
      "event.data.n % 2 == 1",
      "event.data.n % 2.0 == 1.0",
    ],
    ...["event.data.n + 1 == 10", "1 + event.data.n == 10", "event.data.n * 2 == 18", "event.data.n / 2 == 4.5"],
    ...["event.data.n - 0.5 == 8.5", "event.data.half * 2 == 1", "-event.data.n < 0", "int(event.data.n) % 2 == 1"],
    ...["event.data.list[event.data.zero] == 1", "event.data.list.exists(x, x % 2 == 0)", "size(event.data.list) == 3"],
    ...["event.data.list.map(x, x * 2) == [2, 4, 6]", "string(event.data.n) == '9'", "type(event.data.n) == double"],
  ];
  for (const match of holds) assert.equal(await valueOf(match, of), "true", match);
  assert.equal(await valueOf("event.data.n % event.data.zero == 1", of), "modulus by zero");
});

test("integers that no double can hold differ from their neighbours", async () => {
  const of = event(
    '{"data":{"n":9007199254740993,"huge":12345678901234567890123,"list":[-9007199254740993],"s":"i9007199254740993"}}',
  );
  const holds = [
    ...["event.data.n == 9007199254740993", "event.data.n != 9007199254740992", "event.data.n > 9007199254740992"],
    ...["event.data.n % 2 == 1", "event.data.list[0] == -9007199254740993", "event.data.huge == event.data.huge"],
    ...[
      "event.data.huge > event.data.n",
      "event.data.s == 'i9007199254740993'",
      "has(event.data.huge)",
      "size(event.data) == 4",
    ],
  ];
  for (const match of holds) assert.equal(await valueOf(match, of), "true", match);
});

test("every member of an event can be asked about, extensions and data that is no object too", async () => {
  const text = event({
    type: "t",
    source: "s",
    data: "some text",
    myext: true,
    none: null,
    time: "2026-11-21T10:00:00Z",
  });
  const holds = [
    ...["event.data == 'some text'", "event.data.contains('text')", "event.data.matches('^s.*t$')", "event.myext"],
    ...["has(event.none)", "event.none == null", "'none' in event", "!('missing' in event)", "!has(event.missing)"],
    ...["!has(event.missing) || event.missing.x == 1", "event.source.startsWith('s')", "size(event.data) == 9"],
    ...["timestamp(event.time) < timestamp('2026-11-21T10:00:01Z')", "timestamp(event.time).getHours() == 10"],
    ...["event.type.upperAscii() == 'T'", "event.exists(name, name == 'myext')", "size(event) == 6"],
  ];
  for (const match of holds) assert.equal(await valueOf(match, text), "true", match);
  const binary = event({ data_base64: Buffer.from([104, 105]).toString("base64") });
  assert.equal(await valueOf("event.data == b'hi' && string(event.data) == 'hi'", binary), "true");
});

test("members that JavaScript has a meaning for are members like any other", async () => {
  const of = event('{"data":{"constructor":null,"__proto__":{"x":1},"toString":2,"length":3}}');
  for (const match of ["event.data.constructor == null", "event.data.__proto__.x == 1", "event.data.toString == 2"]) {
    assert.equal(await valueOf(match, of), "true", match);
  }
  assert.equal(await valueOf("has(event.data.hasOwnProperty) || has(event.valueOf)", of), "false");
});

test("what is nested deeply is no trouble to rules that do not go there", async () => {
  const deep = event(`{"type":"v1","data":{"n":1,"deep":${"[".repeat(9000)}${"]".repeat(9000)}}}`);
  assert.equal(await routed(["event.data.n == 1"], deep), "/0");
  assert.match(await routed(["event.data.deep == event.data.deep"], deep), /^(?:broken: |\/0)/);
});

test("the order of rules decides, and rules behind one that matches change nothing", async () => {
  const pool = [
    "event.a == 1",
    "event.a > 2",
    "has(event.b)",
    "event.b == 'x'",
    "event.a",
    "true",
    "",
    "event.c in [1, 2]",
  ];
  const expressions = await eventExpressionsFor([
    { rules: pool.map((match) => ({ match, path: "/" })), metadata: new Map() },
  ]);
  const make = (matches: readonly string[]): Routes =>
    new Routes(
      { rules: matches.map((match, index) => ({ match, path: `/${index}` })), defaultPath: "/default" },
      expressions,
    );
  const members = fc.record(
    { a: fc.oneof(fc.integer({ min: 0, max: 4 }), fc.boolean()), b: fc.constantFrom("x", "y"), c: fc.nat(3) },
    { requiredKeys: [] },
  );
  const matches = fc.array(fc.constantFrom(...pool), { maxLength: 6 });
  fc.assert(
    fc.property(matches, matches, members, (first, behind, of) => {
      const subject = event(of);
      const route = make(first).routeOf(subject);
      const alone = first.map((match) => make([match]).routeOf(subject));
      const decides = alone.findIndex((one) => one.kind === "broken" || (one.kind === "path" && one.path === "/0"));
      if (decides === -1) assert.equal(said(route), "/default");
      else {
        if (alone[decides]?.kind === "broken") assert.equal(route.kind, "broken");
        else assert.equal(said(route), `/${decides}`);
        assert.deepEqual(make([...first, ...behind]).routeOf(subject), route);
      }
    }),
    { numRuns: 200 },
  );
});

test("no event makes routing throw", async () => {
  const matches = [
    ...["event.data.a.b > 1", "event.data[0] == event.data[1]", "size(event.data) > 2", "event.data.exists(x, x == 1)"],
    ...["event.data + event.data == event.data", "event.data.matches('a')", "timestamp(event.data) > timestamp(0)"],
    ...[
      "event == {}",
      "event.data in event.data",
      "event.data.map(x, x)",
      "string(event.data) == ''",
      "event.data ? true : false",
    ],
  ];
  const routes = await Promise.all(matches.map((match) => routesOf([match])));
  fc.assert(
    fc.property(
      fc.jsonValue({ maxDepth: 4 }),
      fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 2 })),
      (data, others) => {
        const subject = event({ ...others, data });
        for (const one of routes) assert.ok(["path", "broken"].includes(one.routeOf(subject).kind));
        for (const one of routes) assert.equal(one.tryAll(subject).length, 1);
      },
    ),
    { numRuns: 150 },
  );
});

test("simple comparisons come out as in JavaScript", async () => {
  const operators = ["==", "!=", "<", "<=", ">", ">="] as const;
  const routes = new Map(
    await Promise.all(operators.map(async (it) => [it, await routesOf([`event.data.l ${it} event.data.r`])] as const)),
  );
  const compare = (it: (typeof operators)[number], l: number | string, r: number | string): boolean => {
    if (it === "==") return l === r;
    if (it === "!=") return l !== r;
    if (it === "<") return l < r;
    if (it === "<=") return l <= r;
    return it === ">" ? l > r : l >= r;
  };
  const number = fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.double({ noNaN: true, noDefaultInfinity: true }));
  const pair = fc.oneof(
    fc.tuple(number, number),
    fc.tuple(fc.string(), fc.string()),
    number.map((n) => [n, n] as const),
  );
  fc.assert(
    fc.property(pair, fc.constantFrom(...operators), ([l, r], it) => {
      const subject = event(`{"data":{"l":${JSON.stringify(l)},"r":${JSON.stringify(r)}}}`);
      assert.equal(said(routes.get(it)?.routeOf(subject) ?? { kind: "none" }), compare(it, l, r) ? "/0" : "/default");
    }),
    { numRuns: 500 },
  );
});

test("nothing is read of an event that no rule asks about", async () => {
  const { CloudEvent: Whole } = await import("./cloud-event.ts");
  const asked: string[] = [];
  class Watched extends Whole {
    override raw(name: string): string | undefined {
      asked.push(name);
      return super.raw(name);
    }
  }
  const subject = new Watched(
    new Map([
      ["type", '"v1"'],
      ["data", "{}"],
    ]),
  );
  new Routes({ rules: [], defaultPath: "/" }).routeOf(subject);
  assert.deepEqual(asked, []);
  assert.equal(await routed(["event.type == 'v1' || event.data.n > 5"], subject), "/0");
  assert.deepEqual(asked, ["type"]);
});
