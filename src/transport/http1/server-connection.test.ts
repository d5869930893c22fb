import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { PassThrough, Readable } from "node:stream";
import { text as textOf } from "node:stream/consumers";
import { test } from "node:test";
import fc from "fast-check";
import { FakeSocket, settled } from "../../../test/support/fake-socket.ts";
import type { HttpAnswer, HttpExchange } from "../http/http-exchange.ts";
import { type ConnectionOwner, ServerConnection } from "./server-connection.ts";

/** A connection, and a server that answers when the test does. */
class Server implements ConnectionOwner {
  readonly maxHeadBytes = 8 * 1024;
  isClosing = false;
  seconds = 0;
  readonly socket = new FakeSocket();
  readonly connection: ServerConnection;
  readonly begun: HttpExchange[] = [];
  readonly refused: string[] = [];
  ends = 0;
  isClosed = false;
  handedOver: string | undefined;
  readonly #handle: (exchange: HttpExchange) => void;

  constructor(handle: (exchange: HttpExchange) => void = () => undefined) {
    this.#handle = handle;
    this.connection = new ServerConnection(this.socket.asSocket(), this);
  }

  begin(exchange: HttpExchange): void {
    this.begun.push(exchange);
    this.#handle(exchange);
  }

  ended(): void {
    this.ends++;
  }

  handOver(_socket: Socket, unread: Buffer): void {
    this.handedOver = unread.toString("latin1");
  }

  refusal(status: number, reason: string): string {
    this.refused.push(reason);
    return `<refused ${status}>`;
  }

  closed(): void {
    this.isClosed = true;
  }

  async receive(text: string): Promise<void> {
    this.socket.feed(Buffer.from(text, "latin1"));
    await settled();
  }

  /** What has been written, without the date. */
  get written(): string {
    return this.socket.written.replaceAll(/Date: [^\r]*\r\n/g, "");
  }
}

const ok = (text: string): HttpAnswer => ({ status: 200, statusText: "", headers: [], body: Buffer.from(text) });
const OK = (text: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
const answerWithPath = (exchange: HttpExchange): void => {
  exchange.answer(ok(exchange.target));
};
const get = (path: string, headers = ""): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`;
const post = (path: string, body: string, headers = ""): string =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`;

test("pipelined requests are answered in their order, one at a time", async () => {
  const server = new Server();
  await server.receive(get("/1") + get("/2") + get("/3"));
  assert.equal(server.begun.length, 1);
  for (const path of ["/1", "/2", "/3"]) {
    const exchange = server.begun.at(-1);
    assert.equal(exchange?.target, path);
    exchange.answer(ok(path));
    await settled();
  }
  assert.equal(server.written, OK("/1") + OK("/2") + OK("/3"));
  assert.equal(server.ends, 3);
});

test("requests are the same ones whatever bytes they are cut at", async () => {
  const text = `\r\n${post("/1", "abc")}${get("/2")}${post("/3", "")}`;
  const run = async (cuts: readonly number[]): Promise<string> => {
    const server = new Server((exchange) => {
      void (async () => {
        exchange.answer(ok(Buffer.from(await exchange.readBody()).toString() + exchange.target));
      })();
    });
    let from = 0;
    for (const to of [...[...cuts].sort((a, b) => a - b), text.length]) {
      if (to > from) await server.receive(text.slice(from, to));
      from = Math.max(from, to);
    }
    await settled();
    return server.written;
  };
  const wanted = OK("abc/1") + OK("/2") + OK("/3");
  assert.equal(await run([]), wanted);
  const cuts = fc.array(fc.nat({ max: text.length }), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(cuts, async (at) => {
      assert.equal(await run(at), wanted);
    }),
    { numRuns: 100 },
  );
});

test("100 Continue is said to who waits for it, and only where the body is wanted and not there yet", async () => {
  const wanting = new Server((exchange) => {
    void (async () => {
      exchange.answer(ok(Buffer.from(await exchange.readBody()).toString()));
    })();
  });
  const head = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n";
  await wanting.receive(head);
  assert.equal(wanting.written, "HTTP/1.1 100 Continue\r\n\r\n");
  await wanting.receive("abc");
  assert.equal(wanting.written, `HTTP/1.1 100 Continue\r\n\r\n${OK("abc")}`);
  const eager = new Server((exchange) => {
    exchange.answer(ok(Buffer.from(exchange.readBody() as Uint8Array).toString()));
  });
  await eager.receive(`${head}abc`);
  assert.equal(eager.written, OK("abc"));
});

test("who waits for 100 Continue and is answered otherwise sends nothing more on this connection", async () => {
  const server = new Server(answerWithPath);
  await server.receive("POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  assert.match(server.written, /^HTTP\/1\.1 200 OK\r\nConnection: close\r\n/);
  server.socket.destroy();
});

for (const [name, request, answer, wanted] of [
  ["HEAD", "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", ok("abc"), "HTTP/1.1 200 OK\r\n\r\n"],
  ["204", get("/"), { ...ok("abc"), status: 204 }, "HTTP/1.1 204 No Content\r\n\r\n"],
  [
    "204 with a length",
    get("/"),
    { ...ok(""), status: 204, headers: ["Content-Length", "3"] },
    "HTTP/1.1 204 No Content\r\n\r\n",
  ],
  [
    "304",
    get("/"),
    { ...ok("abc"), status: 304, headers: ["Content-Length", "3"] },
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
  ],
  [
    "HEAD with a stream",
    "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
    { ...ok(""), body: Readable.from([Buffer.from("abc")]) },
    "HTTP/1.1 200 OK\r\n\r\n",
  ],
] as const) {
  test(`${name} has no body, and the connection goes on`, async () => {
    const server = new Server((exchange) => {
      if (server.begun.length === 1) exchange.answer({ ...answer, headers: [...answer.headers] });
      else answerWithPath(exchange);
    });
    await server.receive(request + get("/next"));
    assert.equal(server.written, wanted + OK("/next"));
  });
}

test("an early answer goes out at once, the rest of the request is thrown away, and the next one is served", async () => {
  const server = new Server(answerWithPath);
  await server.receive("POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234");
  assert.equal(server.written, OK("/early"));
  assert.equal(server.ends, 1);
  await server.receive(`56789${get("/next")}`);
  assert.equal(server.written, OK("/early") + OK("/next"));
});

test("a client that has closed its half gets its answer, and then the end of the connection", async () => {
  const server = new Server();
  server.socket.feed(Buffer.from(get("/half")));
  server.socket.feedEnd();
  await settled();
  assert.equal(server.begun[0]?.signal.aborted, false);
  answerWithPath(server.begun[0]);
  await settled();
  assert.equal(server.written, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n/half");
  assert.ok(server.isClosed);
});

test("a client that closes its half in the middle of a body gets nothing, and its call is given up", async () => {
  const server = new Server((exchange) => {
    void (async () => exchange.readBody())().catch(() => undefined);
  });
  server.socket.feed(Buffer.from("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"));
  server.socket.feedEnd();
  await settled();
  assert.equal(server.written, "");
  assert.ok(server.isClosed && server.begun[0]?.signal.aborted === true);
  assert.equal(server.ends, 1);
});

test("the signal fires when the client goes before its answer is complete, and not after it", async () => {
  const body = new PassThrough();
  const server = new Server((exchange) => {
    exchange.answer({ ...ok(""), body });
  });
  await server.receive(get("/"));
  body.write("begun");
  await settled();
  server.socket.destroy();
  await settled();
  assert.equal(server.begun[0]?.signal.aborted, true);
  assert.ok(body.destroyed, "what nobody reads any more goes on");
  const answered = new Server(answerWithPath);
  await answered.receive(get("/"));
  answered.socket.destroy();
  await settled();
  assert.equal(answered.begun[0]?.signal.aborted, false);
  assert.deepEqual([server.ends, answered.ends], [1, 1]);
});

test("a body that breaks breaks the connection, and never looks complete", async () => {
  const body = new PassThrough();
  const server = new Server((exchange) => {
    exchange.answer({ ...ok(""), body });
  });
  await server.receive(get("/") + get("/next"));
  body.write("abc");
  await settled();
  body.destroy(new Error("gone"));
  await settled();
  assert.equal(server.written, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  assert.deepEqual([server.isClosed, server.begun.length], [true, 1]);
});

test("a body that has broken already is an error for who answers, and nothing is sent", async () => {
  const body = new PassThrough();
  body.on("error", () => undefined);
  body.destroy(new Error("gone"));
  await settled();
  const server = new Server();
  await server.receive(get("/"));
  assert.throws(() => server.begun[0]?.answer({ ...ok(""), body }), /the answer broke off: gone/);
  assert.equal(server.written, "");
});

for (const request of [
  get("/").replace("HTTP/1.1", "HTTP/1.0"),
  get("/").replace("GET", "PROPFIND"),
  get("http://x/"),
  get("/", "Connection: Upgrade\r\nUpgrade: h2c\r\n"),
  get("/", "Expect: something\r\n"),
  "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]) {
  test(`${JSON.stringify(request.slice(0, 30))}… is handed over with every byte that has come, requests before it are not`, async () => {
    const server = new Server(answerWithPath);
    await server.receive(`${get("/before")}${request}and what follows`);
    assert.equal(server.written, OK("/before"));
    assert.equal(server.handedOver, `${request}and what follows`);
    assert.deepEqual(server.refused, []);
  });
}

test("an upgrade with a body is served as if it had not asked", async () => {
  const server = new Server();
  const asking = (framing: string): string =>
    get("/", `Connection: Upgrade\r\nUpgrade: raw\r\n${framing}\r\n`).replace("GET", "POST");
  await server.receive(`${asking("Content-Length: 3")}abc`);
  assert.equal(String(await server.begun[0]?.readBody()), "abc");
  server.begun[0]?.answer(ok("1"));
  await server.receive(`${asking("Transfer-Encoding: chunked")}3\r\ndef\r\n0\r\n\r\n`);
  assert.equal(await textOf(server.begun[1]?.streamBody(1000) ?? Readable.from([])), "def");
  server.begun[1]?.answer(ok("2"));
  await settled();
  assert.equal(server.written, `${OK("1")}${OK("2")}`);
  assert.deepEqual([server.handedOver, server.begun[0]?.upgrade], [undefined, undefined]);
  await server.receive(asking("Content-Length: 0"));
  assert.equal(server.handedOver, asking("Content-Length: 0"));
});

test("a bad request is refused behind the answers before it, and ends the connection", async () => {
  const server = new Server();
  await server.receive(`${get("/1")}GET /2 HTTP/1.1\r\n\r\n${get("/3")}`);
  assert.deepEqual(server.refused, []);
  for (const exchange of server.begun) answerWithPath(exchange);
  await settled();
  assert.equal(server.written, `${OK("/1")}<refused 400>`);
  assert.deepEqual([server.begun.length, server.isClosed], [1, true]);
});

test("a body that turns out bad while its answer is under way cuts the answer", async () => {
  const body = new PassThrough();
  const server = new Server((exchange) => {
    exchange.streamBody(1000).resume();
    exchange.answer({ ...ok(""), body });
  });
  await server.receive("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  body.write("begun");
  await settled();
  await server.receive(`bad\r\n${get("/behind")}`.replace("bad", "?"));
  assert.equal(server.written, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n");
  assert.deepEqual([server.refused.length, server.isClosed, server.begun.length], [1, true, 1]);
});

test("a head that does not come to its end in time is refused with 408, however often a byte of it comes", async () => {
  const server = new Server();
  await server.receive("GET / HT");
  for (let second = 1; second <= 10; second++) {
    server.seconds = second;
    await server.receive("T");
    server.connection.checkTimeouts(10, 180);
  }
  assert.equal(server.written, "");
  server.seconds = 11;
  server.connection.checkTimeouts(10, 180);
  await settled();
  assert.equal(server.written, "<refused 408>");
  assert.ok(server.isClosed);
});

test("a body may take as long as it takes, and so may an answer", async () => {
  const server = new Server((exchange) => {
    void (async () => {
      exchange.answer(ok(Buffer.from(await exchange.readBody()).toString()));
    })();
  });
  await server.receive("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na");
  server.seconds = 100_000;
  server.connection.checkTimeouts(10, 180);
  await server.receive("bc");
  assert.equal(server.written, OK("abc"));
});

test("an idle connection is closed after its time, counted from its last answer", async () => {
  const server = new Server(answerWithPath);
  server.seconds = 100;
  await server.receive(get("/"));
  server.seconds = 280;
  server.connection.checkTimeouts(10, 180);
  assert.equal(server.connection.isIdle, true);
  assert.equal(server.socket.destroyed, false);
  server.seconds = 281;
  server.connection.checkTimeouts(10, 180);
  assert.equal(server.socket.destroyed, true);
});

test("headers over the limit are refused with 431, ended or not", async () => {
  for (const text of [get("/", `X: ${"a".repeat(8200)}\r\n`), `GET / HTTP/1.1\r\nX: ${"a".repeat(8200)}`]) {
    const server = new Server();
    await server.receive(text);
    assert.equal(server.written, "<refused 431>");
  }
});

test("what a client sends behind a request that is not answered yet is bounded", async () => {
  const server = new Server();
  await server.receive(get("/"));
  for (let sent = 0; sent < 100 && !server.socket.isPaused(); sent++) await server.receive("a".repeat(4096));
  assert.ok(server.socket.isPaused());
});

test("what is handed over flows, however much of it waited behind another request", async () => {
  const server = new Server();
  await server.receive(get("/"));
  const uncommon = `PROPFIND / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n${"a".repeat(100_000)}`;
  await server.receive(uncommon);
  assert.ok(server.socket.isPaused());
  server.begun.at(0)?.answer(ok(""));
  await settled();
  assert.equal(server.handedOver, uncommon);
  assert.equal(server.socket.isPaused(), false);
});

test("a request that is cut off while it waits behind another one is given up with its connection", async () => {
  const server = new Server((exchange) => {
    if (exchange.target === "/cut") void (async () => exchange.readBody())().catch(() => undefined);
  });
  server.socket.feed(Buffer.from(`${get("/")}POST /cut HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc`));
  server.socket.feedEnd();
  await settled();
  server.begun.at(0)?.answer(ok("first"));
  await settled();
  assert.match(server.written, /first$/);
  assert.ok(server.isClosed && server.begun.at(1)?.signal.aborted === true);
  assert.equal(server.ends, 2);
});

test("an early answer reaches a client that first sends all of a body that nobody will read", async () => {
  const server = new Server((exchange) => {
    // As a call does that fails before anybody looks at the body.
    exchange.streamBody(1e9);
    exchange.answer(ok("early"));
  });
  const body = "a".repeat(300_000);
  await server.receive(post("/", body).slice(0, 100_000));
  assert.equal(server.socket.isPaused(), false);
  await server.receive(post("/", body).slice(100_000) + get("/next"));
  assert.equal(server.written, OK("early") + OK("early"));
});

test("while the server closes, each answer ends its connection", async () => {
  const server = new Server(answerWithPath);
  server.isClosing = true;
  await server.receive(get("/1") + get("/2"));
  assert.match(server.written, /^HTTP\/1\.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n\/1$/);
  assert.ok(server.isClosed);
});

test("an answer that ends its connection is over once the socket has taken it, not before", async () => {
  const server = new Server();
  const { socket } = server;
  let take = (): void => undefined;
  socket._write = (chunk: Buffer, _encoding, callback) => {
    take = () => {
      socket.written += chunk.toString("latin1");
      take = () => undefined;
      callback();
    };
  };
  server.isClosing = true;
  await server.receive(get("/"));
  server.begun[0]?.answer(ok("last"));
  await settled();
  assert.deepEqual([server.ends, socket.destroyed], [0, false]);
  while (!socket.destroyed) {
    take();
    await settled();
  }
  assert.equal(server.written, OK("last").replace("Content", "Connection: close\r\nContent"));
  assert.deepEqual([server.ends, server.isClosed], [1, true]);
});
