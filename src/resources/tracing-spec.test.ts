import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { readConfigurations } from "./configuration.ts";
import type { TracingSpec } from "./otlp-settings.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-test-"));
after(() => {
  rmSync(folder, { recursive: true });
});

const HEAD = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: { name: c }\n";
const file = join(folder, "config.yaml");

function read(...sections: string[]): TracingSpec | undefined {
  writeFileSync(file, sections.map((section) => `${HEAD}spec:\n  tracing: ${section}\n`).join("---\n"));
  return readConfigurations([file]).tracing;
}

test("every field of Dapr's section is read", () => {
  assert.deepEqual(
    read(
      '{samplingRate: "0.25", stdout: true, zipkin: {endpointAddress: "http://z:9411/api/v2/spans"}, otel: {endpointAddress: "c:4318", isSecure: false, protocol: http, headers: "a=1,b=x%2Cy", timeout: 2000}}',
    ),
    {
      samplingRate: 0.25,
      stdout: true,
      zipkinUrl: "http://z:9411/api/v2/spans",
      otel: {
        protocol: "http",
        url: "http://c:4318/v1/traces",
        headers: [
          { name: "a", source: { kind: "value", value: "1" } },
          { name: "b", source: { kind: "value", value: "x,y" } },
        ],
        timeoutMs: 2000,
      },
    },
  );
});

const ADDRESSES: [written: string, url: string][] = [
  ["endpointAddress: 'c:4317'", "https://c:4317"],
  ["endpointAddress: 'c:4317', isSecure: false, protocol: GRPC", "http://c:4317"],
  ["endpointAddress: 'http://c:4317', protocol: grpc", "http://c:4317"],
  ["endpointAddress: 'http://c:4317/path', isSecure: true, protocol: grpc", "https://c:4317"],
  ["endpointAddress: 'https://c', protocol: http", "https://c/v1/traces"],
  ["endpointAddress: 'c:1/otlp/', protocol: http", "https://c:1/otlp/v1/traces"],
  ["endpointAddress: '[::1]:1/v1/traces', isSecure: false, protocol: http", "http://[::1]:1/v1/traces"],
];

for (const [written, url] of ADDRESSES) {
  test(`otel {${written}} is ${url}`, () => {
    assert.equal(read(`{otel: {${written}}}`)?.otel?.url, url);
  });
}

test("headers may be a list, whose values may come from elsewhere, and a time may have a unit", () => {
  const otel = read(
    "{otel: {endpointAddress: c, headers: [{name: k, secretKeyRef: {name: s, key: x}}, {name: e, envRef: E}], timeout: 1.5s}}",
  )?.otel;
  assert.deepEqual(
    otel?.headers.map(({ source }) => source),
    [
      { kind: "secret", name: "s", key: "x" },
      { kind: "env", variable: "E" },
    ],
  );
  assert.equal(otel.timeoutMs, 1500);
});

test("of several Configurations the last holds, field by field", () => {
  const merged = read(
    "{samplingRate: 1, zipkin: {endpointAddress: 'http://z/'}, otel: {endpointAddress: 'a:1'}}",
    "{samplingRate: '0', otel: {endpointAddress: 'b:1'}}",
    "{zipkin: {endpointAddress: ''}}",
  );
  assert.deepEqual([merged?.samplingRate, merged?.zipkinUrl, merged?.otel?.url], [0, undefined, "https://b:1"]);
  assert.equal(read("{samplingRate: ''}")?.samplingRate, undefined);
});

const MISTAKES: [section: string, message: RegExp][] = [
  ["{samplingrate: 1}", /config\.yaml:5: unknown field "spec\.tracing\.samplingrate"; did you mean "samplingRate"\?/],
  ["{otel: {endpoint: c}}", /unknown field "spec\.tracing\.otel\.endpoint"/],
  ["{samplingRate: often}", /config\.yaml:5: spec\.tracing\.samplingRate: "often" .* from 0 to 1/],
  ["{samplingRate: 1.5}", /samplingRate: 1\.5 .* from 0 to 1/],
  ["{samplingRate: true}", /samplingRate: give a number from 0 to 1/],
  ["{otel: {endpointAddress: c, protocol: udp}}", /otel\.protocol: say grpc or http/],
  ["{otel: {endpointAddress: 'a b'}}", /config\.yaml:5: spec\.tracing\.otel\.endpointAddress: "a b" is no address/],
  ["{otel: {endpointAddress: c, headers: 'secret'}}", /otel\.headers: headers are written name=value/],
  ["{otel: {endpointAddress: c, headers: 'a=%'}}", /otel\.headers: the value of the header a has a broken escape/],
  ["{otel: {endpointAddress: c, timeout: soon}}", /otel\.timeout: "soon" is no time/],
  ["{zipkin: {endpointAddress: 'z:9411'}}", /zipkin\.endpointAddress: give the whole URL/],
];

for (const [section, message] of MISTAKES) {
  test(`tracing: ${section} is a mistake that names its place`, () => {
    assert.throws(() => read(section), { name: "ResourceError", message });
  });
}
