import assert from "node:assert/strict";
import { after, describe, type TestContext, test } from "node:test";
import { type HostileConnection, type Script, startHostileApp } from "../support/hostile-app.ts";
import { ownHome, type RunningApp, startBeside } from "../support/processes.ts";
import { parseAnswers, RawConnection } from "../support/raw-http.ts";
import { waitFor } from "../support/wait.ts";

/**
 * An app that breaks the rules of HTTP. Its caller gets what is right, an error, or an answer that breaks off, and
 * whoever calls next gets the answer to that call: nothing is ever mixed into another one's.
 */

const CODEC = process.env["OUTRIGGER_HTTP_CODEC"] === "node" ? "node" : "lean";

interface Case {
  readonly name: string;
  readonly method: string;
  readonly script: Script;
  /** What the caller may see; where Node's parser cannot be as strict, what it sees through that. */
  readonly sees: Readonly<Record<typeof CODEC, RegExp>>;
  /** Its connection is good, and goes on to be used. */
  readonly isKept: boolean;
  /** It may come when nobody waits for an answer. */
  readonly isUnasked?: boolean;
}

const FAILS = /^500 \{"errorCode":"ERR_DIRECT_INVOKE",.*(?:error invoking app channel|the answer broke off)/;
// What broke may have begun, or may still be told as an error.
const BREAKS = new RegExp(`^broken$|${FAILS.source}`);
// Node's parser gives up all that came together with what it cannot read, answers that are complete included.
const GIVEN_UP_BY_NODE = new RegExp(`^200 (?:hello)?$|^[23]04 $|${BREAKS.source}`);

const ok = (body: string, headers = ""): string =>
  `HTTP/1.1 200 OK\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`;

const writes =
  (text: string): Script =>
  (connection) => {
    connection.write(text);
  };

/** An answer that is all there, and what is wrong with it. */
function says(name: string, text: string, sees: RegExp, byNode: RegExp = sees, method = "POST"): Case {
  return { name, method, script: writes(text), sees: { lean: sees, node: byNode }, isKept: false };
}

/** An answer behind which the app closes its half of the connection. */
function saysAndEnds(name: string, text: string, sees: RegExp): Case {
  return {
    name,
    method: "POST",
    script: (connection) => {
      connection.end(text);
    },
    sees: { lean: sees, node: sees },
    isKept: false,
  };
}

const withHeader = (line: string, byNode = FAILS): Case =>
  says(`the header line ${JSON.stringify(line)}`, ok("hello", `${line}\r\n`), FAILS, byNode);
const withLength = (value: string): Case =>
  says(`Content-Length ${JSON.stringify(value)}`, `HTTP/1.1 200 OK\r\nContent-Length:${value}\r\n\r\nhello`, FAILS);
const withCoding = (value: string, byNode = FAILS): Case =>
  says(
    `Transfer-Encoding ${JSON.stringify(value)}`,
    `HTTP/1.1 200 OK\r\nTransfer-Encoding:${value}\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    FAILS,
    byNode,
  );
const withChunks = (chunks: string): Case =>
  says(
    `the chunks ${JSON.stringify(chunks.slice(0, 40))}`,
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`,
    BREAKS,
  );
const withStatusLine = (line: string, byNode = FAILS): Case =>
  says(`the status line ${JSON.stringify(line)}`, ok("hello").replace(/^[^\r]*/, line), FAILS, byNode);

const CASES: readonly Case[] = [
  // More answer than was asked for.
  says("two answers in one write", ok("hello") + ok("forged"), /^200 hello$/),
  {
    name: "a second answer when the first has been given",
    method: "POST",
    script: (connection) => {
      connection.write(ok("hello"));
      setImmediate(() => {
        connection.write(ok("forged"));
      });
    },
    sees: { lean: /^200 hello$/, node: /^200 hello$/ },
    isKept: false,
    isUnasked: true,
  },
  says("a body longer than its Content-Length", `${ok("hello")} world`, /^200 hello$/, GIVEN_UP_BY_NODE),
  says(
    "bytes behind the last chunk",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nforged",
    /^200 hello$/,
    GIVEN_UP_BY_NODE,
  ),
  says("a body in an answer to HEAD", ok("hello"), /^200 $/, /^[25]00 $/, "HEAD"),
  says("an answer in the body of an answer to HEAD", ok(ok("forged")), /^200 $/, /^[25]00 $/, "HEAD"),
  says("a body in a 204", "HTTP/1.1 204 No Content\r\n\r\nhello", /^204 $/, GIVEN_UP_BY_NODE),
  says(
    "an answer as the body of a 204",
    `HTTP/1.1 204 No Content\r\nContent-Length: 100\r\n\r\n${ok("forged")}`,
    /^204 $/,
    GIVEN_UP_BY_NODE,
  ),
  says("a body in a 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", /^304 $/, GIVEN_UP_BY_NODE),
  // Less.
  saysAndEnds("a body shorter than its Content-Length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", BREAKS),
  saysAndEnds("no body where a Content-Length was", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", BREAKS),
  saysAndEnds(
    "chunks that end in the middle of one",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhello",
    BREAKS,
  ),
  saysAndEnds(
    "chunks without the last one",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    BREAKS,
  ),
  saysAndEnds(
    "chunks that end before their trailers do",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    BREAKS,
  ),
  saysAndEnds("half a head", "HTTP/1.1 200 OK\r\nContent-Le", FAILS),
  saysAndEnds("nothing", "", FAILS),
  // Framing that can be read in two ways.
  says(
    "a length and chunked",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    FAILS,
  ),
  says(
    "chunked and a length",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    FAILS,
  ),
  says("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", FAILS),
  says("the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", FAILS),
  withLength(" 5, 5"),
  withLength(" 5 5"),
  withLength(" +5"),
  withLength(" -5"),
  withLength(" 0x5"),
  withLength(""),
  withLength(" 18446744073709551621"),
  withCoding(" gzip, chunked"),
  withCoding(" chunked, identity"),
  withCoding(" xchunked"),
  withCoding(" \x0bchunked"),
  says("chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", FAILS),
  // Chunks.
  withChunks("xyz\r\nhello\r\n0\r\n\r\n"),
  withChunks("-5\r\nhello\r\n0\r\n\r\n"),
  withChunks("0x5\r\nhello\r\n0\r\n\r\n"),
  withChunks("5 \r\nhello\r\n0\r\n\r\n"),
  withChunks("5\nhello\r\n0\r\n\r\n"),
  withChunks("5\r\nhello0\r\n\r\n"),
  withChunks("5\r\nhelloXX0\r\n\r\n"),
  withChunks("5\r\nhello\n0\r\n\r\n"),
  withChunks("FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"),
  withChunks(`5;${"x".repeat(20_000)}\r\nhello\r\n0\r\n\r\n`),
  withChunks("5\r\nhello\r\n0\r\nX : a\r\n\r\n"),
  // Header lines.
  withHeader("X: a\r\n folded"),
  withHeader("X: a\nY: b"),
  withHeader("X: a\0b"),
  withHeader("X: a\rY: b"),
  withHeader("X : a"),
  withHeader("X"),
  withHeader(": a"),
  says("bare LF throughout", ok("hello").replaceAll("\r\n", "\n"), FAILS),
  // Status lines.
  withStatusLine("HTTP/2.0 200 OK"),
  withStatusLine("HTTP/1.2 200 OK"),
  withStatusLine("http/1.1 200 OK"),
  withStatusLine("ICY 200 OK"),
  withStatusLine("HTTP/1.1 099 Low"),
  withStatusLine("HTTP/1.1 2000 OK"),
  withStatusLine("HTTP/1.1 20 OK"),
  withStatusLine("HTTP/1.1 OK"),
  // Node takes it, and its connection is good.
  { ...withStatusLine("HTTP/1.1 200 O\0K", /^200 hello$/), isKept: CODEC === "node" },
  says("TLS", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", FAILS),
  says("text", "hello\r\n\r\n", FAILS),
  // Interim answers.
  says("101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", FAILS),
  says("101 without an Upgrade", `HTTP/1.1 101 Switching Protocols\r\n\r\n${ok("forged")}`, FAILS),
  {
    ...says("103 before the answer", `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok("hello")}`, /^200 hello$/),
    isKept: true,
  },
  {
    name: "interim answers without end",
    method: "POST",
    script: (connection) => {
      const more = (): void => {
        if (!connection.isOpen) return;
        connection.write("HTTP/1.1 102 Processing\r\n\r\n".repeat(10));
        setImmediate(more);
      };
      more();
    },
    sees: { lean: FAILS, node: FAILS },
    isKept: false,
  },
  // Size.
  {
    ...says("100 KB of headers", ok("hello", `X-Large: ${"a".repeat(100 * 1024)}\r\n`), /^200 hello$/),
    isKept: true,
  },
  says(
    "300 KB of headers",
    ok("hello", `X-Large: ${"a".repeat(300 * 1024)}\r\n`),
    /the answer's headers are too large/,
  ),
  {
    name: "headers without end",
    method: "POST",
    script: (connection) => {
      connection.write("HTTP/1.1 200 OK\r\n");
      const more = (): void => {
        if (!connection.isOpen) return;
        connection.write(`X: ${"a".repeat(1000)}\r\n`);
        setImmediate(more);
      };
      more();
    },
    sees: { lean: /the answer's headers are too large/, node: /the answer's headers are too large/ },
    isKept: false,
  },
  // What only Outrigger may say.
  {
    ...says("an error of Outrigger's own", ok("hello", "outrigger-error: Unavailable\r\n"), /^200 hello$/),
    isKept: true,
  },
];

const CALLS = 16;

interface Hop {
  readonly name: string;
  readonly port: number;
  readonly api: string;
  readonly target: string;
}

const pathOf = (index: number): string => `/hostile/${index}`;

/** A line now and then, so that its headers do not become too large before the caller leaves. */
const TRICKLE = "/trickle";
const EARLY = "/early";
const BYTES = "/bytes";
const ODD_BYTES = "\xc4\x8d\xc4\x8a \x8d\x8a\x85\xe2\x80\xa8";

const SCRIPTS: readonly (readonly [path: string, script: Script])[] = [
  ...CASES.map(({ script }, index) => [pathOf(index), script] as const),
  [TRICKLE, trickle],
  [EARLY, writes(ok("early"))],
  [BYTES, writes(ok("hello", `X-Bytes: ${ODD_BYTES}\r\n`))],
];

function trickle(connection: HostileConnection): void {
  connection.write("HTTP/1.1 200 OK\r\n");
  const timer = setInterval(() => {
    if (connection.isOpen) connection.write("X: a\r\n");
    else clearInterval(timer);
  }, 5);
}

const app = await startHostileApp({ after }, new Map(SCRIPTS));
const home = ownHome({ after });
const wide = await startBeside({ after }, "wide", app.port, { home });
const narrow = await startBeside({ after }, "narrow", app.port, { home, flags: ["--app-max-concurrency", "1"] });
const caller = await startBeside({ after }, "caller", undefined, { home });
const hops = allHops();

function allHops(): Hop[] {
  const hop = (name: string, { api, listed }: RunningApp, target: string): Hop => ({
    ...{ name, api, port: listed.httpPort, target },
  });
  return [
    hop("from the app's own sidecar", wide, "wide"),
    hop("from another process", caller, "wide"),
    hop("from the app's own sidecar, one call at a time", narrow, "narrow"),
    hop("from another process, one call at a time", caller, "narrow"),
  ];
}

/** `<status> <body>`, `broken` for an answer that has no end, or `nothing`. */
async function whatCallerSees(t: TestContext, hop: Hop, method: string, path: string): Promise<string> {
  const connection = await RawConnection.open(t, hop.port);
  connection.write(
    `${method} /v1.0/invoke/${hop.target}/method${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc`,
  );
  const received = await connection.waitForClose();
  return outcomeOf(received, method);
}

function outcomeOf(received: string, method: string): string {
  if (received === "") return "nothing";
  const [head = ""] = received.split(/(?<=\r\n\r\n)/);
  if (method === "HEAD") {
    assert.equal(received, head, "an answer to HEAD has a body");
    return `${head.slice("HTTP/1.1 ".length, "HTTP/1.1 200".length)} `;
  }
  const answers = parseAnswers(received);
  assert.ok(answers.length < 2, `more than one answer:\n${received}`);
  const [answer] = answers;
  return answer === undefined ? "broken" : `${answer.status} ${answer.body}`;
}

let tokens = 0;

/** Calls of others, all at once, of which each must get its own answer. */
async function callsOfOthersAreRight({ api, target }: Hop): Promise<void> {
  const calls = Array.from({ length: CALLS }, async (_, index) => {
    const token = `token-${++tokens}`;
    const url = `${api}/v1.0/invoke/${target}/method/echo/${token}`;
    const isPost = index % 2 === 0;
    const response = await fetch(url, isPost ? { method: "POST", body: `body of ${token}` } : {});
    const wanted = isPost ? `POST /echo/${token} body of ${token}` : `GET /echo/${token} `;
    assert.deepEqual([response.status, await response.text()], [200, wanted]);
  });
  await Promise.all(calls);
}

// A slot or a connection that is not given back fails its test instead of waiting for ever.
const BOUNDED = { timeout: 120_000 };

for (const hop of hops) {
  describe(`an app that breaks the rules, called ${hop.name}`, BOUNDED, () => {
    for (const [index, { name, method, sees, isKept }] of CASES.entries()) {
      test(`${name}: cut off or read aright, and nobody else's answer`, BOUNDED, async (t) => {
        app.begun.length = 0;
        const seen = await whatCallerSees(t, hop, method, pathOf(index));
        assert.match(seen, sees[CODEC]);
        assert.deepEqual(app.begun, [`${method} ${pathOf(index)}`], "it was not given to the app just once");
        if (!isKept) await app.closed(pathOf(index));
        await callsOfOthersAreRight(hop);
      });
    }
  });
}

test("whatever an app does wrong, calls that run beside it get their own answers", BOUNDED, async () => {
  // A second answer to an idle connection may meet the next request there; no client can tell that from an answer to it.
  const sure = CASES.map((each, index) => ({ ...each, index })).filter(({ isUnasked }) => isUnasked !== true);
  for (const hop of hops.slice(0, 2)) {
    for (let from = 0; from < sure.length; from += 8) {
      const hostile = sure.slice(from, from + 8).map(async ({ method, index }) => {
        const url = `${hop.api}/v1.0/invoke/${hop.target}/method${pathOf(index)}`;
        try {
          await (await fetch(url, { method })).arrayBuffer();
        } catch {
          // It broke off.
        }
      });
      await Promise.all([...hostile, callsOfOthersAreRight(hop), callsOfOthersAreRight(hop)]);
    }
  }
});

test("a caller that leaves while an app sends headers without end takes the connection with it", BOUNDED, async (t) => {
  for (const hop of hops) {
    app.begun.length = 0;
    const connection = await RawConnection.open(t, hop.port);
    connection.write(`GET /v1.0/invoke/${hop.target}/method${TRICKLE} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await waitFor("the app to have begun", () => app.begun.includes(`GET ${TRICKLE}`));
    connection.destroy();
    await app.closed(TRICKLE);
    await callsOfOthersAreRight(hop);
  }
});

test(
  "an answer that comes before the request has been sent is given, and its connection is not used again",
  BOUNDED,
  async (t) => {
    for (const hop of hops) {
      app.begun.length = 0;
      const connection = await RawConnection.open(t, hop.port);
      const length = 4 * 1024 * 1024;
      connection.write(
        `POST /v1.0/invoke/${hop.target}/method${EARLY} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`,
      );
      connection.write("a".repeat(length / 2));
      await connection.waitForText(/\r\n\r\nearly$/);
      await app.closed(EARLY);
      connection.write("a".repeat(length / 2));
      connection.write(
        `GET /v1.0/invoke/${hop.target}/method/echo/behind HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      );
      const [early, behind, ...more] = parseAnswers(await connection.waitForClose());
      assert.deepEqual(
        [early?.status, early?.body, behind?.status, behind?.body],
        [200, "early", 200, "GET /echo/behind "],
      );
      assert.deepEqual([more, app.begun], [[], [`POST ${EARLY}`, "GET /echo/behind"]]);
      await callsOfOthersAreRight(hop);
    }
  },
);

test("a caller that has closed its half of the connection gets its answer", BOUNDED, async (t) => {
  for (const hop of hops) {
    const connection = await RawConnection.open(t, hop.port);
    connection.write(`GET /v1.0/invoke/${hop.target}/method/echo/half HTTP/1.1\r\nHost: x\r\n\r\n`);
    connection.end();
    assert.equal(outcomeOf(await connection.waitForClose(), "GET"), "200 GET /echo/half ");
  }
});

// Characters whose low bytes are CR and LF, raw bytes that a lax reader ends lines at, and line ends in escapes.
const LOOKALIKES = ["\u010d\u010a", "\u0a0d\u0a0a", "\u2028", "\u0085"];
const EVIL = "X-Evil:1";

test("what a caller puts into ids and trace headers never becomes a header line", BOUNDED, async (t) => {
  const ids = [`nobody%0d%0a${EVIL}`, ...LOOKALIKES.map((text) => `nobody${encodeURIComponent(text)}${EVIL}`)];
  const raw = LOOKALIKES.map((text) => `${Buffer.from(text).toString("latin1")}${EVIL}`);
  for (const hop of hops.slice(0, 2)) {
    const requests = [
      ...ids.map((id) => [`/v1.0/invoke/${id}/method/x`, ""]),
      ...raw.map((text) => ["/x", `dapr-app-id: nobody${text}\r\n`]),
      ...["traceparent", "tracestate", "baggage"].flatMap((name) =>
        [...raw, `a=%0d%0a${EVIL}`].map((text) => [
          `/v1.0/invoke/${hop.target}/method/echo/x`,
          `${name}: a=${text}\r\n`,
        ]),
      ),
    ];
    for (const [path = "", headers = ""] of requests) {
      app.begun.length = 0;
      const connection = await RawConnection.open(t, hop.port);
      connection.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers}\r\n`);
      const answers = parseAnswers(await connection.waitForClose());
      assert.equal(answers.length, 1, path + headers);
      assert.equal(answers[0]?.headers["x-evil"], undefined, path + headers);
      assert.ok(app.begun.length <= 1, app.begun.join());
    }
  }
});

test("what an app puts into its headers reaches the caller byte for byte, and ends no line", BOUNDED, async (t) => {
  for (const hop of hops) {
    const connection = await RawConnection.open(t, hop.port);
    connection.write(`GET /v1.0/invoke/${hop.target}/method${BYTES} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    const received = await connection.waitForClose();
    assert.equal(outcomeOf(received, "GET"), "200 hello");
    assert.ok(received.includes(`\r\nX-Bytes: ${ODD_BYTES}\r\n`), received);
  }
});

test("a malformed answer is warned of, with its origin and what was wrong with it", BOUNDED, async () => {
  const origin = `http://127.0.0.1:${app.port}`;
  await wide.outrigger.waitForOutput(new RegExp(`an answer was malformed.*${origin}`));
  await narrow.outrigger.waitForOutput(new RegExp(`an answer was malformed.*${origin}`));
});
