import assert from "node:assert/strict";
import { test } from "node:test";
import { Command } from "commander";
import { addFlags, normaliseArguments, typedFlags } from "./command-line.ts";

const SAME: [promise: string, line: string, normalised: string][] = [
  ["Go's flags take one dash", "-app-id math -app-port=5001", "--app-id math --app-port=5001"],
  ["two dashes stay", "--app-id math --app-port=5001", "--app-id math --app-port=5001"],
  [
    "dapr run's letters are long flags",
    "-a math -p 5001 -H=3500",
    "--app-id math --app-port 5001 --dapr-http-port=3500",
  ],
  ["a letter may have its value attached", "-p5001 -amath -B4Mi", "--app-port 5001 --app-id math --max-body-size 4Mi"],
  [
    "an attached path is a path",
    "-d./res -c/a=b.yaml -fdapr.yaml",
    "--resources-path ./res --config /a=b.yaml --run-file dapr.yaml",
  ],
  ["an attached value may be negative", "-p-1", "--app-port -1"],
  ["a misspelled long flag is no letter with a value", "-app-prot 80", "--app-prot 80"],
  ["nor is a long flag that nobody knows", "-dapr-new-thing=80", "--dapr-new-thing=80"],
  ["nor is a number's letter with a word", "-profile=80", "--profile=80"],
  ["a switch does not swallow the word behind it", "--log-as-json python3", "--log-as-json=true python3"],
  ["a switch that says false keeps it", "--enable-metrics=false -a math", "--enable-metrics=false --app-id math"],
  ["a value may look like a flag", "--app-max-concurrency -1 -a math", "--app-max-concurrency -1 --app-id math"],
  ["a value may be two dashes", "--app-id -- -a math", "--app-id -- --app-id math"],
  ["a value may hold an equals sign", "--config=a=b.yaml", "--config=a=b.yaml"],
  ["an empty value is a value", "--app-id= -a math", "--app-id= --app-id math"],
  ["a list is given several times", "-d one -d two", "--resources-path one --resources-path two"],
  ["nothing behind -- is touched", "-a math -- node -p 1 -app-id x", "--app-id math -- node -p 1 -app-id x"],
  ["nothing behind the first plain word is touched", "-a math node -p 1", "--app-id math node -p 1"],
  ["a dash alone is a plain word", "- -a math", "- -a math"],
  ["a flag that is not known keeps its dashes", "--nope x", "--nope x"],
  ["a long flag that is not known gets its second dash", "-nope=1 -a math", "--nope=1 --app-id math"],
  ["a letter that is not known stays one", "-h -Z", "-h -Z"],
  ["a letter with two dashes is no short flag", "--a math", "--a math"],
  ["a flag that lacks its value is left to the parser", "-a", "--app-id"],
];

for (const [promise, line, normalised] of SAME) {
  test(`${promise}: ${line}`, () => {
    assert.deepEqual(normaliseArguments(line.split(" "), "run"), normalised.split(" "));
  });
}

test("nothing is nothing", () => {
  assert.deepEqual(normaliseArguments([], "run"), []);
});

test("values with spaces and newlines stay one word", () => {
  assert.deepEqual(normaliseArguments(["-config=a b\nc", "-a", "x y"], "run"), ["--config=a b\nc", "--app-id", "x y"]);
});

test("a flag of the other command is not known", () => {
  assert.deepEqual(normaliseArguments(["-wait"], "sidecar"), ["--wait=true"]);
  assert.deepEqual(normaliseArguments(["-wait"], "run"), ["--wait"]);
  assert.deepEqual(normaliseArguments(["-f", "dapr.yaml"], "run"), ["--run-file", "dapr.yaml"]);
  assert.deepEqual(normaliseArguments(["-f", "dapr.yaml"], "sidecar"), ["-f", "dapr.yaml"]);
});

test("what is normalised already stays as it is", () => {
  for (const [, line] of SAME) {
    const once = normaliseArguments(line.split(" "), "run");
    assert.deepEqual(normaliseArguments(once, "run"), once);
  }
});

test("what was typed comes out of commander as it was typed, flag by flag", () => {
  const command = addFlags(new Command("run").passThroughOptions().argument("[command...]"), "run").action(
    () => undefined,
  );
  const line = "-app-id math -p 5001 -d one -d two -log-as-json -enable-metrics=false -- node -p 1";
  command.parse(normaliseArguments(line.split(" "), "run"), { from: "user" });
  assert.deepEqual(typedFlags(command, "run"), {
    "app-id": ["math"],
    "app-port": ["5001"],
    "resources-path": ["one", "two"],
    "log-as-json": ["true"],
    "enable-metrics": ["false"],
  });
  assert.deepEqual(command.args, ["node", "-p", "1"]);
});
