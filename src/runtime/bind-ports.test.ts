import assert from "node:assert/strict";
import { test } from "node:test";
import { distinctAddresses } from "./bind-ports.ts";

const CASES: readonly [asked: string[], bound: string[]][] = [
  [["127.0.0.1"], ["127.0.0.1"]],
  [
    ["127.0.0.1", "::1"],
    ["127.0.0.1", "::1"],
  ],
  [
    ["127.0.0.1", "127.0.0.2", "127.0.0.1"],
    ["127.0.0.1", "127.0.0.2"],
  ],
  [["0.0.0.0", "127.0.0.1"], ["0.0.0.0"]],
  [
    ["127.0.0.1", "0.0.0.0", "::1"],
    ["0.0.0.0", "::1"],
  ],
  [["127.0.0.1", "::", "::1", "0.0.0.0"], ["::"]],
  [
    ["nowhere.invalid", "nowhere.invalid", "127.0.0.1"],
    ["nowhere.invalid", "127.0.0.1"],
  ],
];

for (const [asked, bound] of CASES) {
  test(`${asked.join(", ")} is listened on as ${bound.join(", ")}`, async () => {
    assert.deepEqual(await distinctAddresses(asked), bound);
  });
}

test("a name and the address it leads to are one", async () => {
  const distinct = await distinctAddresses(["localhost", "127.0.0.1", "::1"]);
  assert.equal(distinct[0], "localhost");
  assert.equal(distinct.length, 2);
});
