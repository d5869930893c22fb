import assert from "node:assert/strict";
import { test } from "node:test";
import type { TracingSpec } from "../resources/otlp-settings.ts";
import { tracingFrom } from "./tracing-from-env.ts";

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://c:4317" };
const CONFIGURED: TracingSpec = {
  samplingRate: undefined,
  stdout: true,
  zipkinUrl: undefined,
  otel: { protocol: "grpc", url: "https://mine:1", headers: [], timeoutMs: undefined },
};

test("a collector that the environment names asks for every span", () => {
  assert.deepEqual(tracingFrom(undefined, ENDPOINT), {
    samplingRate: 1,
    stdout: false,
    zipkinUrl: undefined,
    otel: { protocol: "grpc", url: "http://c:4317", headers: [], timeoutMs: undefined },
  });
  assert.equal(tracingFrom(undefined, {}), undefined);
  assert.equal(tracingFrom(undefined, { OTEL_EXPORTER_OTLP_ENDPOINT: "" }), undefined);
});

test("the Configuration goes before it, but for what it does not say", () => {
  assert.equal(tracingFrom(CONFIGURED, ENDPOINT), CONFIGURED);
  const merged = tracingFrom({ ...CONFIGURED, samplingRate: 0.5, otel: undefined }, ENDPOINT);
  assert.deepEqual([merged?.samplingRate, merged?.stdout, merged?.otel?.url], [0.5, true, "http://c:4317"]);
});

test("what is for traces alone goes before what is for all", () => {
  const otel = tracingFrom(undefined, {
    ...ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "t:1",
    OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "http/protobuf",
    OTEL_EXPORTER_OTLP_INSECURE: "true",
    OTEL_EXPORTER_OTLP_HEADERS: "a=1",
    OTEL_EXPORTER_OTLP_TIMEOUT: "2000",
  })?.otel;
  assert.deepEqual([otel?.url, otel?.protocol, otel?.timeoutMs], ["http://t:1/v1/traces", "http", 2000]);
  assert.deepEqual(otel?.headers, [{ name: "a", source: { kind: "value", value: "1" } }]);
});

test("OTEL_TRACES_EXPORTER may ask for none", () => {
  assert.equal(tracingFrom(undefined, { ...ENDPOINT, OTEL_TRACES_EXPORTER: "none" }), undefined);
  assert.notEqual(tracingFrom(undefined, { ...ENDPOINT, OTEL_TRACES_EXPORTER: "console, otlp" }), undefined);
});

test("a variable that is wrong is named, without a secret", () => {
  const wrong = (more: NodeJS.ProcessEnv, message: RegExp): void => {
    assert.throws(() => tracingFrom(undefined, { ...ENDPOINT, ...more }), { name: "CliError", message });
  };
  wrong({ OTEL_EXPORTER_OTLP_ENDPOINT: "a b" }, /^OTEL_EXPORTER_OTLP_ENDPOINT is "a b", which is no address/);
  wrong({ OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: "5s" }, /^OTEL_EXPORTER_OTLP_TRACES_TIMEOUT is "5s"; give a number/);
  wrong({ OTEL_EXPORTER_OTLP_HEADERS: "secret" }, /^OTEL_EXPORTER_OTLP_HEADERS: headers are written name=value/);
});
