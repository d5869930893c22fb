import assert from "node:assert/strict";
import { test } from "node:test";
import { FlagValues, judgeFlags } from "./flag-values.ts";

test("a flag that was not typed has its default, or none", () => {
  const flags = new FlagValues({});
  assert.equal(flags.text("app-channel-address"), "127.0.0.1");
  assert.equal(flags.text("app-id"), undefined);
  assert.equal(flags.count("app-max-concurrency"), -1);
  assert.equal(flags.port("profile-port"), 7777);
  assert.equal(flags.port("app-port"), undefined);
  assert.equal(flags.size("max-body-size"), 4 * 1024 * 1024);
  assert.equal(flags.size("read-buffer-size"), 4096);
  assert.deepEqual(flags.list("config"), []);
  assert.equal(flags.switch("log-as-json"), false);
  assert.equal(flags.switch("story", true), true);
});

test("a flag knows whether it was typed", () => {
  const flags = new FlagValues({ "app-id": ["math"] });
  assert.equal(flags.has("app-id"), true);
  assert.equal(flags.has("metrics-port"), false);
});

test("of a flag that is typed twice the last one counts, and a list keeps all", () => {
  const flags = new FlagValues({ "app-id": ["a", "b"], config: ["a.yaml", "b.yaml"], "app-port": ["1", "2"] });
  assert.equal(flags.text("app-id"), "b");
  assert.equal(flags.port("app-port"), 2);
  assert.deepEqual(flags.list("config"), ["a.yaml", "b.yaml"]);
});

for (const [text, value] of [
  ...["true", "TRUE", "t", "1"].map((text) => [text, true] as const),
  ...["false", "False", "f", "0"].map((text) => [text, false] as const),
] as const) {
  test(`a switch that is "${text}" is ${value ? "on" : "off"}, whatever it is without`, () => {
    assert.equal(new FlagValues({ story: [text] }).switch("story", !value), value);
  });
}

for (const text of ["yes", "", "2", " true"]) {
  test(`a switch that is "${text}" is refused`, () => {
    assert.throws(() => new FlagValues({ story: [text] }).switch("story"), {
      name: "CliError",
      message: `--story is "${text}"; give true or false`,
    });
  });
}

for (const [text, value] of [
  ["0", 0],
  ["-1", -1],
  ["007", 7],
  ["999999999", 999_999_999],
] as const) {
  test(`"${text}" is the count ${value}`, () => {
    assert.equal(new FlagValues({ "app-max-concurrency": [text] }).count("app-max-concurrency"), value);
  });
}

for (const [text, value] of [
  ["1", 1],
  ["2000", 2000],
  ["0", 1000],
  ["-1", 1000],
] as const) {
  test(`"${text}" of a flag whose default is 1000 and that must be positive is ${value}`, () => {
    assert.equal(new FlagValues({ "app-max-queue": [text] }).positive("app-max-queue"), value);
  });
}

for (const text of ["", "1.5", "1e3", "0x10", "ten", " 1", "--1", "9999999999"]) {
  test(`"${text}" is no count`, () => {
    assert.throws(() => new FlagValues({ "app-max-concurrency": [text] }).count("app-max-concurrency"), {
      name: "CliError",
      message: `--app-max-concurrency is "${text}"; give a whole number`,
    });
  });
}

for (const text of ["0", "-1", "-5"]) {
  test(`the port ${text} says that there is none, as in Dapr`, () => {
    assert.equal(new FlagValues({ "app-port": [text] }).port("app-port"), undefined);
  });
}

test("ports end at 65535", () => {
  assert.equal(new FlagValues({ "app-port": ["65535"] }).port("app-port"), 65_535);
  assert.throws(() => new FlagValues({ "app-port": ["65536"] }).port("app-port"), {
    name: "CliError",
    message: "--app-port is 65536; ports end at 65535",
  });
});

for (const [text, bytes] of [
  ["1", 1],
  ["100", 100],
  ["4Ki", 4096],
  ["4Mi", 4 * 1024 ** 2],
  ["2Gi", 2 * 1024 ** 3],
  ["1Ti", 1024 ** 4],
  ["4k", 4000],
  ["4K", 4000],
  ["100M", 100_000_000],
  ["1G", 1_000_000_000],
  ["1.5Ki", 1536],
  ["0.001Ki", 1],
] as const) {
  test(`the size ${text} is ${bytes} bytes`, () => {
    assert.equal(new FlagValues({ "max-body-size": [text] }).size("max-body-size"), bytes);
  });
}

for (const text of ["0", "-1", "-4Mi", "-0.5", "0Ki", "0.5", "0.0001Ki"]) {
  test(`the size ${text} is less than a byte, which says the flag's own default, as in daprd`, () => {
    const flags = new FlagValues({ "max-body-size": [text], "read-buffer-size": [text] });
    assert.equal(flags.size("max-body-size"), 4 * 1024 ** 2);
    assert.equal(flags.size("read-buffer-size"), 4 * 1024);
  });
}

for (const text of ["", "4 Mi", "4MB", "4mi", "Mi", "1e6", ".5Mi", "4Mi "]) {
  test(`"${text}" is no size`, () => {
    assert.throws(() => new FlagValues({ "max-body-size": [text] }).size("max-body-size"), {
      name: "CliError",
      message: `--max-body-size is "${text}"; give bytes, or a size as 4Ki, 4Mi or 100M`,
    });
  });
}

for (const [name, text, advice] of [
  ["metrics-port", "abc", 'is "abc"; give a whole number'],
  ["app-health-threshold", "x", 'is "x"; give a whole number'],
  ["profile-port", "65536", "is 65536; ports end at 65535"],
  ["enable-metrics", "maybe", 'is "maybe"; give true or false'],
  ["scheduler-job-streams", "many", 'is "many"; give a whole number'],
  ["dapr-http-max-request-size", "4Mi", 'is "4Mi"; give a whole number'],
] as const) {
  test(`--${name} ${text} is refused, though nothing asks for its value`, () => {
    assert.throws(() => new FlagValues({ [name]: [text] }), { name: "CliError", message: `--${name} ${advice}` });
    assert.throws(() => new FlagValues({ [name]: [text, "1"] }), { name: "CliError" }, "a later one hides it");
  });
}

test("flags that work, and Dapr's that mean nothing here, are taken without a word", () => {
  assert.deepEqual(judgeFlags({ "app-id": ["math"], "placement-host-address": ["localhost:50005"] }), []);
});

for (const [name, value] of [
  ["profile-port", "7778"],
  ["profile-port", "7777"],
  ["sentry-address", "localhost:50003"],
  ["control-plane-trust-domain", "localhost"],
] as const) {
  test(`--${name} ${value} is told of: it does nothing yet, its default no more than another value`, () => {
    assert.deepEqual(judgeFlags({ [name]: [value] }), [
      `--${name} is accepted and has no effect in this version of Outrigger`,
    ]);
  });
}

test("a flag that asks for what is not there stops the start, unless it asks for what holds anyway", () => {
  assert.throws(() => judgeFlags({ mode: ["kubernetes"] }), {
    name: "CliError",
    message: "--mode kubernetes is not supported by this version of Outrigger; leave it out, or give standalone",
  });
  assert.throws(() => judgeFlags({ "dapr-block-shutdown-duration": ["5s"] }), {
    name: "CliError",
    message: "--dapr-block-shutdown-duration 5s is not supported by this version of Outrigger; leave it out",
  });
  assert.deepEqual(judgeFlags({ "enable-mtls": ["false"], mode: ["standalone"] }), []);
});

test("what holds anyway may be said in any way the flag can be read", () => {
  assert.deepEqual(judgeFlags({ "enable-mtls": ["0"], mode: ["Standalone"] }), []);
  assert.deepEqual(judgeFlags({ "enable-mtls": ["F"] }), []);
  assert.throws(() => judgeFlags({ "enable-mtls": ["1"] }), { name: "CliError", message: /^--enable-mtls 1 is not/ });
});

test("the last value of a flag is the one that is judged", () => {
  assert.deepEqual(judgeFlags({ "enable-mtls": ["true", "false"] }), []);
  assert.throws(() => judgeFlags({ "enable-mtls": ["false", "true"] }), { name: "CliError" });
});
