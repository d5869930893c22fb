import assert from "node:assert/strict";
import { isUtf8 } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { CallError } from "../core/errors.ts";
import { type MethodPath, normaliseMethodPath } from "./method-path.ts";

// The same paths at every run; a failure prints the seed and the shortest path that fails.
// `npm run test:long` tries harder, and elsewhere on each run.
const RUNS = process.env["OUTRIGGER_TEST_LONG"] === "1" ? { numRuns: 100_000 } : { seed: 20_261_121, numRuns: 3000 };

function normalise(raw: string): MethodPath {
  return normaliseMethodPath(raw, { preserve: false });
}

const SENT: [promise: string, raw: string, decoded: string, wire: string][] = [
  ["a plain path stays as it is", "/api/v1/add", "/api/v1/add", "/api/v1/add"],
  ["slashes at the beginning are one", "//%2Fapi/v1/add", "/api/v1/add", "/api/v1/add"],
  ["nothing is the root", "/", "/", "/"],
  ["a dot is the root", "/.", "/", "/"],
  ["an encoded slash is a slash", "/a%2Fb", "/a/b", "/a/b"],
  ["slashes in a row are one", "/a//b", "/a/b", "/a/b"],
  ["a trailing slash is cut off", "/a/", "/a", "/a"],
  ["two dots go up", "/a/../b", "/b", "/b"],
  ["encoded dots go up", "/a/%2e%2E/b", "/b", "/b"],
  ["dots between encoded slashes go up", "/a%2F..%2Fb", "/b", "/b"],
  ["nothing is above the root", "/../../../etc/passwd", "/etc/passwd", "/etc/passwd"],
  ["three dots are a name", "/a/.../b", "/a/.../b", "/a/.../b"],
  ["a literal percent sign reaches the app", "/a%25b", "/a%b", "/a%25b"],
  ["nothing is decoded twice", "/%2561dmin", "/%61dmin", "/%2561dmin"],
  ["dots that are encoded twice go nowhere", "/a/%252e%252e/b", "/a/%2e%2e/b", "/a/%252e%252e/b"],
  ["a space is encoded, a plus stays a plus", "/a%20b+c", "/a b+c", "/a%20b+c"],
  ["quotes, backslashes and pipes are encoded", "/a%22b%5Cc%7Cd", '/a"b\\c|d', "/a%22b%5Cc%7Cd"],
  [
    "what RFC 3986 allows in a path is not encoded",
    "/a;b=c:d@e*f!$&'(),~",
    "/a;b=c:d@e*f!$&'(),~",
    "/a;b=c:d@e*f!$&'(),~",
  ],
  ["escapes that need not be are undone", "/%61%2Db%7E", "/a-b~", "/a-b~"],
  ["other scripts are encoded as UTF-8", "/%e4%bd%a0", "/你", "/%E4%BD%A0"],
];

for (const [promise, raw, decoded, wire] of SENT) {
  test(`${promise}: ${JSON.stringify(raw)}`, () => {
    assert.deepEqual(normalise(raw), { decoded, wire });
  });
}

test("bytes that are not UTF-8 reach the app as they are", () => {
  assert.equal(normalise("/a%ff%FEb").wire, "/a%FF%FEb");
});

const REFUSED: [promise: string, raw: string, message: string][] = [
  ["a fragment", "/a%23b", 'invalid method: method contains forbidden character: "a#b"'],
  ["a query", "/a%3Fb", 'invalid method: method contains forbidden character: "a?b"'],
  ["NUL", "/a%00b", 'invalid method: method contains forbidden character: "a\\x00b"'],
  ["a newline", "/a%0Ab", 'invalid method: method contains control character at position 1: "a\\nb"'],
  ["a carriage return", "/%0d", 'invalid method: method contains control character at position 0: "\\r"'],
  ["DEL", "/abc%7f", 'invalid method: method contains control character at position 3: "abc\\x7f"'],
  ["a fragment among other scripts", "/%E4%BD%A0%23", 'invalid method: method contains forbidden character: "你#"'],
  ["an escape that is not hex", "/a%zzb", 'invalid method: invalid URL escape "%zz"'],
  ["an escape that is half hex", "/a%2gb", 'invalid method: invalid URL escape "%2g"'],
  ["an escape that is cut off", "/a%2", 'invalid method: invalid URL escape "%2"'],
  ["a percent sign alone", "/a%", 'invalid method: invalid URL escape "%"'],
];

for (const [what, raw, message] of REFUSED) {
  test(`${what} is refused in daprd's words: ${JSON.stringify(raw)}`, () => {
    assert.throws(() => normalise(raw), new CallError("InvalidArgument", message));
  });
}

for (const raw of ["/a//b", "//a%2Fb/", "/a/%2e%2e/b", "/%61", "/a%25b", "/"]) {
  test(`a preserved path is sent as it was written, and rules see the clean one: ${raw}`, () => {
    assert.deepEqual(normaliseMethodPath(raw, { preserve: true }), {
      decoded: normalise(raw).decoded,
      wire: raw,
    });
  });
}

test("a path is refused whether it is preserved or not", () => {
  assert.throws(() => normaliseMethodPath("/a%0Ab", { preserve: true }), CallError);
});

for (const raw of ["/a%3Fb/../x", "/a%23/..", "/a%00/%2e%2E/x", "/%0A/../x", "/a#b/../x"]) {
  test(`what cleaning takes away is refused where it would be sent: ${raw}`, () => {
    assert.equal(normalise(raw).decoded, raw.endsWith("x") ? "/x" : "/");
    assert.throws(() => normaliseMethodPath(raw, { preserve: true }), CallError);
  });
}

/** Behind its first slash, anything at all, and often what a path might be made of. */
const anyPath = fc
  .oneof(
    fc.string({ unit: "binary" }),
    fc.array(fc.nat({ max: 0xffff }), { maxLength: 20 }).map((units) => String.fromCharCode(...units)),
    fc
      .array(
        fc.oneof(
          fc.constantFrom(
            "/",
            "//",
            ".",
            "..",
            "%2F",
            "%2f",
            "%2e",
            "%2E",
            "%25",
            "%",
            "%2",
            "%zz",
            "%00",
            "%7f",
            "%ff",
            "%c3%a9",
          ),
          fc.constantFrom("a", "b", "~", "+", ";", ":", "@", " ", "é", "你", "🚀", "#", "?"),
          fc.nat({ max: 255 }).map((byte) => `%${byte.toString(16).padStart(2, "0")}`),
        ),
        { maxLength: 12 },
      )
      .map((parts) => parts.join("")),
  )
  .map((rest) => `/${rest}`);

/** Undefined where the path is refused. @throws whatever is no CallError. */
function normalisedOrRefused(raw: string): MethodPath | undefined {
  try {
    return normalise(raw);
  } catch (error) {
    if (error instanceof CallError) return undefined;
    throw error;
  }
}

test("every path is either normalised or refused with a CallError", () => {
  const seen = { normalised: 0, refused: 0 };
  fc.assert(
    fc.property(anyPath, (raw) => {
      seen[normalisedOrRefused(raw) === undefined ? "refused" : "normalised"]++;
    }),
    RUNS,
  );
  // Else the properties below would say nothing.
  assert.ok(seen.normalised > RUNS.numRuns / 4 && seen.refused > RUNS.numRuns / 10, JSON.stringify(seen));
});

test("what the app decodes is, byte for byte, what the rules saw", () => {
  fc.assert(
    fc.property(anyPath, (raw) => {
      const path = normalisedOrRefused(raw);
      if (path === undefined) return;
      const bytes = bytesOf(path.wire);
      // Bytes that are no UTF-8 have no text; the rules see what stands for them.
      if (isUtf8(bytes)) assert.deepEqual(bytes, Buffer.from(path.decoded, "utf8"));
      else assert.equal(bytes.toString("utf8"), path.decoded);
    }),
    RUNS,
  );
});

test("what the app is sent normalises to itself", () => {
  fc.assert(
    fc.property(anyPath, (raw) => {
      const path = normalisedOrRefused(raw);
      if (path !== undefined) assert.deepEqual(normalise(path.wire), path);
    }),
    RUNS,
  );
});

test("rules see no empty segment, no dots and no trailing slash", () => {
  fc.assert(
    fc.property(anyPath, (raw) => {
      const path = normalisedOrRefused(raw);
      if (path === undefined || path.decoded === "/") return;
      const [first, ...segments] = path.decoded.split("/");
      assert.equal(first, "");
      assert.deepEqual(
        segments.filter((segment) => ["", ".", ".."].includes(segment)),
        [],
      );
    }),
    RUNS,
  );
});

test("the app is sent nothing that RFC 3986 does not allow in a path", () => {
  fc.assert(
    fc.property(anyPath, (raw) => {
      const path = normalisedOrRefused(raw);
      if (path !== undefined) assert.match(path.wire, /^(?:\/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-F]{2})*)+$/);
    }),
    RUNS,
  );
});

test("rules see the same path whether it is preserved or not, and a preserved one is sent as it is", () => {
  fc.assert(
    fc.property(anyPath, (raw) => {
      const path = normalisedOrRefused(raw);
      if (path === undefined) return;
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
      if (/[#?\x00-\x1f\x7f]|%(?:23|3[fF]|[01][0-9a-fA-F]|7[fF])/.test(raw)) {
        assert.throws(() => normaliseMethodPath(raw, { preserve: true }), CallError);
        return;
      }
      assert.deepEqual(normaliseMethodPath(raw, { preserve: true }), { decoded: path.decoded, wire: raw });
    }),
    RUNS,
  );
});

const segment = fc
  .string({ unit: fc.constantFrom(...Array.from("abZ09-._~!$&'()*+,;=:@%\"\\| é你🚀")), minLength: 1, maxLength: 6 })
  .filter((text) => text !== "." && text !== "..");

/** Ways to write one slash. */
const slash = fc.constantFrom(
  "/",
  "%2F",
  "%2f",
  "//",
  "/./",
  "/%2e/",
  "/x/../",
  "/x/%2E./",
  "%2fx%2F%2e%2e%2f",
  "/%79%2F..//",
);

const disguise = fc.record({
  leading: fc.constantFrom("", "/", "//", "/../", "%2F..%2f", "./"),
  slashes: fc.array(slash, { minLength: 8, maxLength: 8 }),
  trailing: fc.constantFrom("", "/", "//", "/.", "%2F", "/x/.."),
  /** For each byte in turn: as it is where it may be, or escaped in upper or lower case. */
  spellings: fc.array(fc.constantFrom("as it is", "upper", "lower"), { minLength: 1, maxLength: 40 }),
});

test("no way of writing a path hides it from a rule", () => {
  fc.assert(
    fc.property(
      fc.array(segment, { maxLength: 8 }),
      disguise,
      (segments, { leading, slashes, trailing, spellings }) => {
        const spelled = segments.map((text) => spell(text, spellings));
        const written = spelled.reduce((path, text, at) => (at === 0 ? text : path + (slashes[at] ?? "/") + text), "");
        const raw = `/${leading}${written}${trailing}`;
        const plain = `/${segments.join("/")}`;
        assert.deepEqual(normalise(raw), normalise(`/${segments.map(encodeURIComponent).join("/")}`));
        assert.equal(normalise(raw).decoded, plain);
      },
    ),
    RUNS,
  );
});

function spell(text: string, spellings: readonly string[]): string {
  let at = 0;
  return Array.from(text)
    .map((char) => {
      const spelling = char === "%" ? "upper" : spellings[at++ % spellings.length];
      if (spelling === "as it is") return char;
      const hex = [...Buffer.from(char, "utf8")].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
      return spelling === "upper" ? hex.toUpperCase() : hex;
    })
    .join("");
}

/** What a server makes of a path: an escape is a byte, anything else stands for itself. */
function bytesOf(wire: string): Buffer {
  const parts = wire.match(/%[0-9A-F]{2}|[^%]+/g) ?? [];
  return Buffer.concat(
    parts.map((part) => (part.startsWith("%") ? Buffer.from(part.slice(1), "hex") : Buffer.from(part, "latin1"))),
  );
}
