import assert from "node:assert/strict";
import { test } from "node:test";
import { metadataWith } from "../../../../test/support/component-metadata.ts";
import { ManualClock } from "../../../../test/support/manual-clock.ts";
import { anAnswer, aRequest, testMiddlewareContract, textOf } from "../../../../test/support/middleware-contract.ts";
import type { ResponseMessage } from "../../../core/message.ts";
import type { MiddlewareRequest } from "../../contract/middleware.ts";
import { clientIp } from "./client-ip.ts";
import { RateLimit } from "./rate-limit.ts";
import { TokenBuckets } from "./token-buckets.ts";

testMiddlewareContract("ratelimit", {
  create: ({ clock }) => new RateLimit(clock),
  fields: { maxRequestsPerSecond: "1000" },
  slip: { written: "maxRequestPerSecond", meant: "maxRequestsPerSecond" },
  unusable: { maxRequestsPerSecond: "0" },
});

interface Limited {
  readonly clock: ManualClock;
  readonly call: (request?: Partial<MiddlewareRequest>) => Promise<ResponseMessage>;
}

async function limitedTo(perSecond: string | undefined): Promise<Limited> {
  const clock = new ManualClock();
  const limit = new RateLimit(clock);
  await limit.init(await metadataWith(perSecond === undefined ? {} : { maxRequestsPerSecond: perSecond }));
  return {
    clock,
    call: (request) => limit.handle(aRequest(request), () => Promise.resolve(anAnswer({ headers: ["X-App", "a"] }))),
  };
}

async function statusesOf({ call }: Limited, count: number, request?: Partial<MiddlewareRequest>): Promise<number[]> {
  return Promise.all(Array.from({ length: count }, async () => (await call(request)).status));
}

test("so many requests pass at once, and then so many a second", async () => {
  const limited = await limitedTo("2");
  assert.deepEqual(await statusesOf(limited, 4), [200, 200, 429, 429]);
  limited.clock.advance(499);
  assert.deepEqual(await statusesOf(limited, 1), [429]);
  limited.clock.advance(1);
  assert.deepEqual(await statusesOf(limited, 2), [200, 429]);
  limited.clock.advance(60_000);
  assert.deepEqual(await statusesOf(limited, 3), [200, 200, 429]);
});

test("less than one a second lets one pass", async () => {
  const limited = await limitedTo("0.5");
  assert.deepEqual(await statusesOf(limited, 2), [200, 429]);
  limited.clock.advance(2000);
  assert.deepEqual(await statusesOf(limited, 2), [200, 429]);
});

test("a path has one limit, however it is written", async () => {
  const limited = await limitedTo("1");
  const path = "/v1.0/invoke/shop/method/x";
  assert.deepEqual(await statusesOf(limited, 1, { path }), [200]);
  for (const other of [`/${path}`, `${path}/`, `${path}/../x`, path.replace("/x", "/%78"), path.replace("/x", "//x")]) {
    assert.deepEqual(await statusesOf(limited, 1, { path: other }), [429], other);
  }
  assert.deepEqual(await statusesOf(limited, 2, { path: "/%zz" }), [200, 429]);
});

test("each client has its own limit, for each path", async () => {
  const limited = await limitedTo("1");
  const from = (remoteAddress: string, path = "/a"): Promise<number[]> =>
    statusesOf(limited, 2, { remoteAddress, path });
  assert.deepEqual(await from("10.0.0.1"), [200, 429]);
  assert.deepEqual(await from("10.0.0.2"), [200, 429]);
  assert.deepEqual(await from("10.0.0.1", "/b"), [200, 429]);
});

test("headers say what the limit is, as tollbooth's do", async () => {
  const limited = await limitedTo("1.5");
  const request = { remoteAddress: "10.0.0.1", headers: ["X-Forwarded-For", "10.0.0.9"] };
  const limits = ["X-Rate-Limit-Limit", "1.50", "X-Rate-Limit-Duration", "1"];
  limits.push("X-Rate-Limit-Request-Forwarded-For", "10.0.0.9", "X-Rate-Limit-Request-Remote-Addr", "10.0.0.1");
  limits.push("RateLimit-Limit", "2", "RateLimit-Reset", "1", "RateLimit-Remaining", "0");
  assert.deepEqual((await limited.call(request)).headers, ["X-App", "a", ...limits]);
  const refused = await limited.call(request);
  assert.equal(refused.status, 429);
  assert.deepEqual(refused.headers, ["Content-Type", "text/plain; charset=utf-8", ...limits]);
  assert.equal(textOf(refused.body), "You have reached maximum request limit.");
});

test("without a limit it is contrib's", async () => {
  const limited = await limitedTo(undefined);
  assert.deepEqual((await statusesOf(limited, 101)).filter((status) => status === 429).length, 1);
});

test("a limit that is no number above 0 is refused, with its place", async () => {
  for (const wrong of ["0", "-1", "many", "Infinity", "1/s"]) {
    await assert.rejects(
      limitedTo(wrong),
      /^Error: component\.yaml:\d+: maxRequestsPerSecond is ".*"; it is a number above 0$/,
    );
  }
});

const CLIENTS: readonly (readonly [headers: string[], remoteAddress: string | undefined, client: string])[] = [
  [[], "10.0.0.1", "10.0.0.1"],
  [[], "::ffff:10.0.0.1", "10.0.0.1"],
  [["X-Real-IP", "10.0.0.2"], "10.0.0.1", "10.0.0.2"],
  [["X-Forwarded-For", "10.0.0.3, 10.0.0.4", "X-Real-IP", "10.0.0.2"], "10.0.0.1", "10.0.0.4"],
  [["x-forwarded-for", "10.0.0.3", "X-Forwarded-For", "10.0.0.5"], "10.0.0.1", "10.0.0.5"],
  [["X-Forwarded-For", "unknown"], "10.0.0.1", "10.0.0.1"],
  [[], undefined, "0.0.0.0"],
  [[], "2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
  [[], "2001:DB8:1:2::9", "2001:db8:1:2"],
  [[], "2001:db8::9", "2001:db8:0:0"],
  [[], "::1", "0:0:0:0"],
  [[], "fe80::1%eth0", "fe80:0:0:0"],
];

for (const [headers, remoteAddress, client] of CLIENTS) {
  test(`${headers.join(" ")} from ${remoteAddress ?? "a Unix socket"} is ${client}`, () => {
    assert.equal(
      clientIp({ ...aRequest({ headers }), ...(remoteAddress === undefined ? {} : { remoteAddress }) }),
      client,
    );
  });
}

test("buckets that are full again are forgotten, and those beyond the bound share one", () => {
  const clock = new ManualClock();
  const buckets = new TokenBuckets(1, clock, 3);
  for (const key of ["a", "b", "c"]) assert.ok(buckets.take(key).isAllowed);
  assert.ok(buckets.take("d").isAllowed);
  assert.ok(!buckets.take("e").isAllowed, "it shares d's");
  assert.equal(buckets.count, 3);
  clock.advance(1000);
  assert.ok(buckets.take("f").isAllowed);
  assert.equal(buckets.count, 1);
  clock.advance(60_000);
  buckets.take("g");
  assert.equal(buckets.count, 1);
});
