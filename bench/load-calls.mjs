// Calls in closed loops: each connection sends its next request when its answer has arrived and was right.
import { ClosedLoops } from "./closed-loops.mjs";
import { Connection, openInBatches } from "./connection.mjs";
import { BodyCheck, JSON_ANSWER, PATTERN, receipt } from "./pattern.mjs";

const FEWEST_HEADERS = 5;

/**
 * @typedef {object} CallSpec
 * @property {number} port
 * @property {string[]} paths called in turn
 * @property {number} connections
 * @property {number} [warmMs] how long to call before it counts; left out: not at all
 * @property {number} [ms] how long to measure, at least one call on each connection; 0 for exactly one
 * @property {boolean} [idle] no loops: each connection makes one call when it opens, and then is there
 * @property {number} [headers] of each request, Host included
 * @property {number} [upload] bytes of the request's body
 * @property {boolean} [chunked] the upload goes in four chunks, and the answer is the same bytes in chunks
 * @property {number} [download] bytes of the answer's body, of the pattern
 */
export class CallLoad {
  #spec;
  #loops = new ClosedLoops();
  #connections = [];
  #requests;
  #turn = 0;

  /** @param {CallSpec} spec */
  constructor(spec) {
    this.#spec = spec;
    this.#requests = spec.paths.map((path) => requestFor(path, spec));
  }

  async prepare() {
    const { port, connections, warmMs, idle } = this.#spec;
    const expected = expectedAnswer(this.#spec);
    const open = () => new Caller(this, this.#loops, port, expected);
    for await (const batch of openInBatches(connections, open)) {
      this.#connections.push(...batch);
      if (idle) await this.#loops.run(batch, 0);
    }
    if (warmMs !== undefined) await this.#loops.run(this.#connections, warmMs);
  }

  go() {
    return this.#loops.measure(this.#connections, this.#spec.ms);
  }

  /** @throws {Error} where a connection has broken meanwhile. */
  stillThere() {
    this.#loops.check();
  }

  close() {
    for (const connection of this.#connections) connection.close();
  }

  /** @internal */
  nextRequest() {
    return this.#requests[this.#turn++ % this.#requests.length];
  }
}

class Caller {
  #load;
  #loops;
  #connection;
  #check;
  #expectedBytes;
  #sentAt = 0;

  constructor(load, loops, port, expected) {
    this.#load = load;
    this.#loops = loops;
    this.#check = new BodyCheck(expected.content);
    this.#expectedBytes = expected.bytes;
    this.#connection = new Connection(port, this, (error) => loops.failed(error));
  }

  opened() {
    return this.#connection.opened();
  }

  call() {
    const { head, body, times } = this.#load.nextRequest();
    this.#sentAt = performance.now();
    if (body === undefined) this.#connection.write(head);
    else this.#connection.writeWithBody(head, body, times);
  }

  body(buffer, start, end) {
    if (!this.#check.take(buffer, start, end)) throw new Error("an answer has wrong bytes");
  }

  end() {
    if (this.#check.bytes !== this.#expectedBytes) {
      throw new Error(`an answer has ${this.#check.bytes} bytes instead of ${this.#expectedBytes}`);
    }
    this.#check.reset();
    this.#loops.answered(this, performance.now() - this.#sentAt);
  }

  close() {
    this.#connection.close();
  }
}

function requestFor(path, { headers = FEWEST_HEADERS, upload, chunked }) {
  const own = ["host: 127.0.0.1", "accept: */*", "user-agent: outrigger-bench", "accept-encoding: identity"];
  if (upload !== undefined) own.push(chunked ? "transfer-encoding: chunked" : `content-length: ${upload}`);
  while (own.length < headers) own.push(`x-bench-${own.length}: a value of usual length ${own.length}`);
  const method = upload === undefined ? "GET" : "POST";
  const head = Buffer.from(`${method} ${path} HTTP/1.1\r\n${own.join("\r\n")}\r\n\r\n`);
  if (upload === undefined) return { head };
  if (chunked) return { head, body: inChunks(upload), times: 1 };
  return { head, body: PATTERN.subarray(0, upload), times: Math.ceil(upload / PATTERN.length) };
}

function inChunks(bytes) {
  const quarter = bytes / 4;
  const chunks = [0, 1, 2, 3].map((index) => PATTERN.subarray(index * quarter, (index + 1) * quarter));
  const size = Buffer.from(`${quarter.toString(16)}\r\n`);
  return Buffer.concat([...chunks.flatMap((chunk) => [size, chunk, Buffer.from("\r\n")]), Buffer.from("0\r\n\r\n")]);
}

function expectedAnswer({ upload, chunked, download }) {
  const bytes = chunked ? upload : download;
  if (bytes !== undefined) return { content: PATTERN, bytes };
  const content = Buffer.from(upload === undefined ? JSON_ANSWER : receipt(upload));
  return { content, bytes: content.length };
}
