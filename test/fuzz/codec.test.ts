import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import { test } from "node:test";
import type { RequestMessage, ResponseMessage } from "../../src/core/message.ts";
import type { HttpExchange } from "../../src/transport/http/http-exchange.ts";
import { ClientConnection } from "../../src/transport/http1/client-connection.ts";
import { type ConnectionOwner, ServerConnection } from "../../src/transport/http1/server-connection.ts";
import { FakeSocket, settled } from "../support/fake-socket.ts";
import { LONG } from "../support/long.ts";
import { answer, inPieces, mutated, Random, request } from "./mutations.ts";
import { type ParsedMessage, parseAnswers, parseRequests } from "./node-parser.ts";

/**
 * Our codec against Node's parser, on messages that something was done to: what ours takes for a message, Node's takes
 * for the same message. Ours may refuse more, or hand a connection to Node's, but never read anything else into it.
 */

const CASES = LONG ? 2_000_000 : 100_000;
const SEED = LONG ? Date.now() : 20_261_121;
// Promises and streams of so many cases are waited for together.
const AT_ONCE = 500;

interface Seen {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly string[];
  body: string;
  isComplete: boolean;
}

/** What our server made of one connection. */
class Server implements ConnectionOwner {
  readonly maxHeadBytes = 64 * 1024;
  readonly isClosing = false;
  readonly seconds = 0;
  readonly seen: Seen[] = [];
  readonly socket = new FakeSocket();
  refused = 0;
  handedOver: Buffer[] | undefined;

  constructor() {
    new ServerConnection(this.socket.asSocket(), this);
  }

  begin(exchange: HttpExchange): void {
    const { method, target, rawHeaders } = exchange;
    const seen: Seen = { method, target, headers: [...rawHeaders], body: "", isComplete: false };
    this.seen.push(seen);
    void this.#answer(exchange, seen);
  }

  ended(): void {
    // Nobody counts.
  }

  handOver(socket: Socket, unread: Buffer): void {
    const received = [unread];
    this.handedOver = received;
    socket.on("data", (bytes: Buffer) => received.push(bytes));
  }

  refusal(): string {
    this.refused++;
    return "refused";
  }

  closed(): void {
    // Nobody waits.
  }

  async #answer(exchange: HttpExchange, seen: Seen): Promise<void> {
    try {
      const { contentLength } = exchange;
      if (contentLength === undefined) {
        for await (const piece of exchange.streamBody(1e9)) seen.body += (piece as Buffer).toString("latin1");
      } else if (contentLength > 0) {
        seen.body = Buffer.from(await exchange.readBody()).toString("latin1");
      }
      seen.isComplete = true;
      exchange.answer({ status: 200, statusText: "", headers: [], body: undefined });
    } catch {
      // The connection ended within the body.
    }
  }
}

test(`${CASES} requests: what is taken for one is the same one for Node's parser`, async () => {
  const random = new Random(SEED);
  const tally = { taken: 0, refused: 0, handedOver: 0 };
  for (let done = 0; done < CASES; done += AT_ONCE) {
    const cases = Array.from({ length: AT_ONCE }, () => {
      const text = mutated(random, Array.from({ length: 1 + random.below(3) }, () => request(random)).join(""));
      const pieces = inPieces(random, text);
      const server = new Server();
      for (const piece of pieces) server.socket.feed(piece);
      return { text, pieces, server };
    });
    await settled();
    for (const { server } of cases) server.socket.feedEnd();
    await settled();
    for (const { text, pieces, server } of cases) {
      judgeRequests(server, parseRequests(pieces).messages, JSON.stringify(text));
      tally.taken += server.seen.filter(({ isComplete }) => isComplete).length;
      tally.refused += server.refused;
      tally.handedOver += server.handedOver === undefined ? 0 : 1;
    }
  }
  // A test that refuses everything shows nothing.
  assert.ok(tally.taken > CASES / 2 && tally.refused > CASES / 10, JSON.stringify({ seed: SEED, ...tally }));
});

function judgeRequests(server: Server, byNode: readonly ParsedMessage[], text: string): void {
  const { seen, handedOver } = server;
  for (const [i, message] of seen.entries()) {
    const other = byNode[i];
    assert.ok(other !== undefined, `ours saw a request more in ${text}`);
    assert.deepEqual(
      [message.method, message.target, message.headers],
      [other.method, other.target, other.headers],
      `seed ${SEED}, ${text}`,
    );
    if (!message.isComplete) continue;
    assert.deepEqual([message.body, true], [other.body, other.isComplete], `seed ${SEED}, ${text}`);
  }
  const rest = handedOver === undefined ? [] : parseRequests(handedOver).messages;
  const complete = seen.filter(({ isComplete }) => isComplete).length;
  const isLast = seen.some(({ headers }) => headers.some((value) => /close/i.test(value)));
  if (server.refused === 0 && !isLast) {
    const found = complete + rest.filter(({ isComplete }) => isComplete).length;
    const wanted = byNode.filter(({ isComplete }) => isComplete).length;
    assert.equal(found, wanted, `ours lost a request of seed ${SEED}, ${text}`);
  }
  const answers = server.socket.written.split("HTTP/1.1 200 OK\r\n").length - 1;
  assert.equal(answers, complete, `not as many answers as requests for ${text}`);
}

/** What our client made of one connection. */
class Client {
  readonly socket = new FakeSocket();
  readonly method: string;
  response: ResponseMessage | undefined;
  failure: Error | undefined;
  isReusable = false;
  body = "";
  isComplete = false;

  constructor(method: string) {
    this.method = method;
    const connection = new ClientConnection(this.socket.asSocket(), {
      maxHeadBytes: 64 * 1024,
      becameIdle: () => {
        this.isReusable = true;
      },
      malformed: () => undefined,
      closed: () => {
        this.isReusable = false;
      },
    });
    this.socket.on("data", (bytes: Buffer) => {
      connection.receive(bytes);
    });
    const { signal } = new AbortController();
    const request: RequestMessage = {
      ...{ method, path: "/", query: undefined, headers: [], body: undefined, contentLength: undefined, signal },
    };
    connection.send({
      request,
      head: `${method} / HTTP/1.1\r\n\r\n`,
      answered: (response) => void this.#read(response),
      failed: (error) => {
        this.failure = error;
      },
    });
  }

  async #read(response: ResponseMessage): Promise<void> {
    this.response = response;
    const { body } = response;
    try {
      if (body instanceof Readable) for await (const piece of body) this.body += (piece as Buffer).toString("latin1");
      else this.body = Buffer.from(body ?? []).toString("latin1");
      this.isComplete = true;
    } catch {
      // Broken, and known to be.
    }
  }
}

test(`${CASES} answers: what is taken for one is the same one for Node's parser`, async () => {
  const random = new Random(SEED + 1);
  const tally = { complete: 0, broken: 0, failed: 0, reusable: 0 };
  for (let done = 0; done < CASES; done += AT_ONCE) {
    const cases = Array.from({ length: AT_ONCE }, () => {
      const text = mutated(random, Array.from({ length: random.pick([1, 1, 1, 2]) }, () => answer(random)).join(""));
      const pieces = inPieces(random, text);
      const client = new Client(random.chance(5) ? "HEAD" : "GET");
      for (const piece of pieces) client.socket.feed(piece);
      return { text, pieces, client };
    });
    await settled();
    for (const { client } of cases) client.socket.feedEnd();
    await settled();
    for (const { text, pieces, client } of cases) {
      judgeAnswer(client, pieces, `seed ${SEED}, ${client.method}, ${JSON.stringify(text)}`);
      if (client.failure !== undefined) tally.failed++;
      else if (client.isComplete) tally.complete++;
      else tally.broken++;
    }
  }
  const isTelling = tally.complete > CASES / 3 && tally.failed > CASES / 10 && tally.broken > CASES / 500;
  assert.ok(isTelling, JSON.stringify({ seed: SEED, ...tally }));
});

function judgeAnswer(client: Client, pieces: readonly Buffer[], text: string): void {
  const { response } = client;
  assert.ok(response !== undefined || client.failure !== undefined, `neither an answer nor a failure: ${text}`);
  if (response === undefined) return;
  const { messages } = parseAnswers(pieces, client.method === "HEAD");
  const final = messages.find(({ status }) => status >= 200);
  assert.ok(final !== undefined, `ours saw an answer where Node's saw none: ${text}`);
  assert.deepEqual([response.status, response.headers], [final.status, final.headers], text);
  if (client.isComplete) assert.deepEqual([client.body, true], [final.body, final.isComplete], text);
}
