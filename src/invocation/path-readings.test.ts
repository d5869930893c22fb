import assert from "node:assert/strict";
import { test } from "node:test";
import { CallError } from "../core/errors.ts";
import { pathReadings } from "./path-readings.ts";

/** Without what is there twice. */
function readings(wire: string): string[] {
  return [...new Set(pathReadings(wire))];
}

for (const wire of ["/", "/a", "/a.b/c-d/~e", "/a+b/c:d@e=f", "/a,b!$&'()*", "/.a/..b/a..b"]) {
  test(`a plain path is read in one way: ${wire}`, () => {
    assert.deepEqual(pathReadings(wire), [wire]);
  });
}

const READ: [why: string, wire: string, ...others: string[]][] = [
  ["escapes are decoded, and no app reads them undecoded", "/a%20b", "/a b"],
  ["slashes in a row and at the end", "/a//b/", "/a/b", "/a//b/"],
  ["an encoded slash, which may separate segments or not", "/a%2Fb", "/a/b", "/a%2Fb"],
  ["the same in lower case", "/a%2fb", "/a/b", "/a%2Fb"],
  ["dots, resolved or not", "/a/../b", "/b", "/a/../b"],
  ["dots after an empty segment", "/a//../b", "/b", "/a//../b", "/a/b"],
  ["encoded dots", "/a/%2e%2E/b", "/b", "/a/../b"],
  ["dots resolved before slashes are decoded", "/a%2Fb/../c", "/a/c", "/a/b/../c", "/a%2Fb/../c", "/c"],
  ["dots that are not all seen before they are decoded", "/a/./b/.%2e", "/a", "/a/./b/..", "/a/b/.."],
  ["parameters, with and without", "/a;v=1/b", "/a;v=1/b", "/a/b"],
  ["parameters behind dots", "/a/..;x/b", "/a/..;x/b", "/a/../b", "/b"],
  ["a backslash", "/a%5Cb", "/a\\b", "/a/b"],
  ["dots between backslashes", "/a%5C..%5Cb", "/a\\..\\b", "/a/../b", "/b"],
  ["escapes that are escaped", "/%2561", "/%61", "/a"],
  ["dots that are escaped twice", "/a/%252e%252e/b", "/a/%2e%2e/b", "/a/../b", "/b"],
  ["a percent sign that escapes nothing", "/100%25", "/100%"],
  ["a question mark that is escaped twice", "/a%253Fb/c", "/a%3Fb/c", "/a?b/c", "/a"],
  ["a number sign that is escaped twice", "/a%2523", "/a%23", "/a#", "/a"],
  ["NUL that is escaped twice", "/a%2500.txt", "/a%00.txt", "/a\0.txt", "/a"],
  ["a fullwidth question mark", "/a%EF%BC%9Fb", "/a？b", "/a?b", "/a"],
  ["a dot at the end of a segment", "/a./b", "/a./b", "/a/b"],
  ["a dot at the end", "/a/b.", "/a/b.", "/a/b"],
  ["a space at the end", "/a%20", "/a ", "/a"],
  ["dots and spaces by turns", "/a.%20./b", "/a. ./b", "/a/b"],
  ["two dots and a space", "/a/..%20/b", "/a/.. /b", "/a//b", "/a/b", "/a/../b", "/b"],
  ["three dots", "/a/.../b", "/a/.../b", "/a//b", "/a/b"],
  ["a dot before parameters", "/a.;x", "/a.;x", "/a.", "/a"],
  ["fullwidth letters", "/%EF%BD%81", "/ａ", "/a"],
  ["a fullwidth slash", "/a%EF%BC%8Fb", "/a／b", "/a/b"],
];

for (const [why, wire, first, ...others] of READ) {
  test(`${why}: ${wire}`, () => {
    const [judgedFirst, ...more] = readings(wire);
    assert.equal(judgedFirst, first);
    assert.deepEqual(more.sort(), others.sort());
  });
}

test("what may be decoded time and again is read in no way at all", () => {
  assert.equal(pathReadings(`/%${"25".repeat(100)}41`), undefined);
});

test("a path that is none is refused", () => {
  for (const wire of ["/a%zz", "/a%0Ab", "/a%3Fb", "/a%3Fb/../x", "/a%00/.."])
    assert.throws(() => pathReadings(wire), CallError);
});
