import assert from "node:assert/strict";
import { resolve } from "node:path";
import { test } from "node:test";
import { DEFAULT_CONFIGURATION } from "../resources/default-configuration.ts";
import { FlagValues, type TypedFlags } from "./flag-values.ts";
import type { CommandName } from "./flags.ts";
import { settingsFrom } from "./sidecar-settings-from-flags.ts";

function settings(typed: TypedFlags, command: CommandName = "run"): ReturnType<typeof settingsFrom> {
  const flags = new FlagValues({ "app-id": ["math"], ...typed });
  const configuration = {
    preservePath: false,
    safeRetries: false,
    grpcErrorStatus: "fixed" as const,
    accessControl: undefined,
    appTls: undefined,
    nameResolution: undefined,
    pipelines: { http: [], app: [] },
    metrics: DEFAULT_CONFIGURATION.metrics,
    apiLogging: DEFAULT_CONFIGURATION.apiLogging,
    tracing: undefined,
    hotReload: true,
    withoutEffect: [],
    forGrpcAlone: [],
  };
  return settingsFrom({ command, flags, env: {}, configuration, appCommand: "" });
}

test("an IPv6 address may stand in brackets, as in a URL", () => {
  assert.equal(settings({ "app-channel-address": ["[::1]"] }).appChannelAddress, "::1");
  assert.equal(settings({ "dapr-internal-grpc-listen-address": ["[::1]"] }).internalListenAddress, "::1");
  assert.deepEqual(settings({ "dapr-listen-addresses": ["[::1],127.0.0.1"] }).listenAddresses, ["::1", "127.0.0.1"]);
});

test("an address to listen on that is named twice is listened on once", () => {
  const { listenAddresses } = settings({ "dapr-listen-addresses": ["127.0.0.1,[::1], 127.0.0.1,::1"] });
  assert.deepEqual(listenAddresses, ["127.0.0.1", "::1"]);
});

test("blanks among the addresses to listen on are passed over", () => {
  assert.deepEqual(settings({ "dapr-listen-addresses": [",127.0.0.1, ,[::1],"] }).listenAddresses, [
    "127.0.0.1",
    "::1",
  ]);
  assert.throws(() => settings({ "dapr-listen-addresses": [" , "] }), { message: /names no address$/ });
});

test("a directory for Unix sockets is made absolute, and an empty one is none", () => {
  assert.equal(settings({ "unix-domain-socket": ["sockets/"] }).socketFolder, resolve("sockets"));
  assert.equal(settings({ "unix-domain-socket": ["/tmp"] }).socketFolder, "/tmp");
  assert.equal(settings({ "unix-domain-socket": [""] }).socketFolder, undefined);
  assert.equal(settings({}).socketFolder, undefined);
});

test("the public port is none unless one is named, and listens where the command's other ports do", () => {
  assert.equal(settings({}).publicPort, undefined);
  assert.equal(settings({ "dapr-public-port": ["-1"] }).publicPort, undefined);
  const { publicPort, publicListenAddress } = settings({ "dapr-public-port": ["3501"] });
  assert.deepEqual([publicPort, publicListenAddress], [3501, "127.0.0.1"]);
  assert.match(settings({ "dapr-public-port": ["3501"] }, "sidecar").publicListenAddress, /^(?:::|0\.0\.0\.0)$/);
  assert.equal(settings({ "dapr-public-listen-address": ["[::1]"] }).publicListenAddress, "::1");
});

test("metrics are served on any free port of loopback in run, as daprd serves them in sidecar, and can be switched off", () => {
  const placeOf = ({ metrics }: ReturnType<typeof settings>): unknown =>
    metrics && [metrics.listenAddress, metrics.port];
  assert.deepEqual(placeOf(settings({})), ["127.0.0.1", 0]);
  assert.deepEqual(placeOf(settings({}, "sidecar")), ["0.0.0.0", 9090]);
  const flags = { "metrics-port": ["9091"], "metrics-listen-address": ["[::1]"] };
  assert.deepEqual(placeOf(settings(flags)), ["::1", 9091]);
  assert.equal(settings({ "enable-metrics": ["false"] }).metrics, undefined);
});

test("calls of the API are logged where the flag says so, whatever the Configuration does", () => {
  assert.equal(settings({}).apiLogging, undefined);
  assert.equal(settings({ "enable-api-logging": ["true"] }).apiLogging?.enabled, true);
  assert.equal(settings({ "enable-api-logging": ["false"] }).apiLogging, undefined);
});

test("allowed origins are separated by commas; without any there is no CORS", () => {
  const { allowedOrigins } = settings({ "allowed-origins": ["https://a.test, https://*.b.test,"] });
  assert.deepEqual(allowedOrigins, ["https://a.test", "https://*.b.test"]);
  for (const none of [{}, { "allowed-origins": [""] }]) assert.deepEqual(settings(none).allowedOrigins, []);
});

test("the older flags for sizes count in MiB and KiB, and hold where the newer ones are not given", () => {
  const older = { "dapr-http-max-request-size": ["16"], "dapr-http-read-buffer-size": ["8"] };
  const { maxBodyBytes, readBufferBytes } = settings(older);
  assert.deepEqual([maxBodyBytes, readBufferBytes], [16 * 1024 ** 2, 8 * 1024]);
  const both = settings({ ...older, "max-body-size": ["1Mi"], "read-buffer-size": ["2Ki"] });
  assert.deepEqual([both.maxBodyBytes, both.readBufferBytes], [1024 ** 2, 2 * 1024]);
  const none = settings({ "dapr-http-max-request-size": ["-1"], "dapr-http-read-buffer-size": ["0"] });
  assert.deepEqual([none.maxBodyBytes, none.readBufferBytes], [4 * 1024 ** 2, 4 * 1024]);
});

test("how many calls may wait for an app that takes so many at once is bounded, said or not", () => {
  assert.equal(settings({ "app-max-concurrency": ["4"] }).appMaxQueue, 1000);
  assert.equal(settings({ "app-max-concurrency": ["4"], "app-max-queue": ["20"] }).appMaxQueue, 20);
});

test("there is a default pub/sub component unless it is switched off", () => {
  assert.equal(settings({}).defaultPubSub, true);
  assert.equal(settings({}, "sidecar").defaultPubSub, true);
  assert.equal(settings({ "no-default-pubsub": ["false"] }).defaultPubSub, true);
  assert.equal(settings({ "no-default-pubsub": ["true"] }).defaultPubSub, false);
});

test("an app is probed where that is asked for", () => {
  assert.equal(settings({}).appHealth, undefined);
  const asked = { "enable-app-health-check": ["true"] };
  assert.equal(settings({ ...asked, "app-port": ["5000"] }).appHealth?.path, "/healthz");
  assert.equal(settings(asked).appHealth, undefined);
});

test("the app's protocol, in any case; --app-ssl is the older way to ask for TLS", () => {
  const protocolOf = (typed: TypedFlags): string => settings(typed).appProtocol;
  assert.equal(protocolOf({}), "http");
  assert.equal(protocolOf({ "app-protocol": [""] }), "http");
  assert.equal(protocolOf({ "app-protocol": ["HTTPS"] }), "https");
  assert.equal(protocolOf({ "app-protocol": ["h2c"], "app-ssl": ["false"] }), "h2c");
  assert.equal(protocolOf({ "app-ssl": ["true"] }), "https");
  assert.equal(protocolOf({ "app-protocol": ["GRPC"] }), "grpc");
  assert.equal(protocolOf({ "app-protocol": ["grpc"], "app-ssl": ["true"] }), "grpcs");
  assert.equal(protocolOf({ "app-protocol": ["https"], "app-ssl": ["1"] }), "https");
});

for (const [typed, message] of [
  [{ "app-protocol": ["htttp"] }, '--app-protocol is "htttp"; give one of http, https, h2c, grpc, grpcs'],
  [
    { "app-protocol": ["h2c"], "app-ssl": ["true"] },
    "--app-ssl asks for TLS and --app-protocol h2c for none; leave one of them out",
  ],
] as const) {
  test(`${JSON.stringify(typed)} stops the start`, () => {
    assert.throws(() => settings(typed), { name: "CliError", message });
  });
}
