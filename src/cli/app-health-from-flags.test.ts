import assert from "node:assert/strict";
import { test } from "node:test";
import { appHealthFrom } from "./app-health-from-flags.ts";
import { FlagValues, type TypedFlags } from "./flag-values.ts";

const DEFAULTS = { path: "/healthz", intervalMs: 5000, timeoutMs: 500, threshold: 3 };

function healthOf(typed: TypedFlags) {
  return appHealthFrom(new FlagValues({ "enable-app-health-check": ["true"], ...typed }));
}

test("an app is probed only where that is asked for, whatever is said about how", () => {
  assert.equal(appHealthFrom(new FlagValues({})), undefined);
  assert.equal(appHealthFrom(new FlagValues({ "app-health-check-path": ["/up"] })), undefined);
  assert.equal(healthOf({ "enable-app-health-check": ["false"] }), undefined);
});

test("the defaults are daprd's", () => {
  assert.deepEqual(healthOf({}), DEFAULTS);
});

test("every flag has its say: seconds, milliseconds, failures", () => {
  const typed = {
    "app-health-check-path": ["/up?deep=1"],
    "app-health-probe-interval": ["1"],
    "app-health-probe-timeout": ["1000"],
    "app-health-threshold": ["2"],
  };
  assert.deepEqual(healthOf(typed), { path: "/up?deep=1", intervalMs: 1000, timeoutMs: 1000, threshold: 2 });
});

for (const value of ["0", "-1"]) {
  test(`${value} means the default`, () => {
    const typed = {
      "app-health-probe-interval": [value],
      "app-health-probe-timeout": [value],
      "app-health-threshold": [value],
    };
    assert.deepEqual(healthOf(typed), DEFAULTS);
  });
}

test("the path may lack its slash, and be left empty for the root", () => {
  assert.equal(healthOf({ "app-health-check-path": ["up"] })?.path, "/up");
  assert.equal(healthOf({ "app-health-check-path": [""] })?.path, "/");
});

for (const path of ["/is it up", "/up\r\nX: 1", "/ünwell", "/up#now"]) {
  test(`a path that no request can carry is refused: ${JSON.stringify(path)}`, () => {
    assert.throws(() => healthOf({ "app-health-check-path": [path] }), {
      name: "CliError",
      message: `--app-health-check-path is ${JSON.stringify(path)}; give a path as a request has it, with %20 for a space`,
    });
  });
}

test("a timeout that outlasts the interval is refused", () => {
  assert.throws(() => healthOf({ "app-health-probe-interval": ["1"], "app-health-probe-timeout": ["1001"] }), {
    name: "CliError",
    message:
      "--app-health-probe-timeout is 1001 ms, longer than the 1 s of --app-health-probe-interval; give a timeout that ends before the next probe",
  });
});

test("an interval longer than timers can be set to is refused, and not taken for none", () => {
  assert.equal(healthOf({ "app-health-probe-interval": ["2147483"] })?.intervalMs, 2_147_483_000);
  assert.throws(() => healthOf({ "app-health-probe-interval": ["2147484"] }), {
    name: "CliError",
    message: "--app-health-probe-interval is 2147484; give at most 2147483 seconds",
  });
});
