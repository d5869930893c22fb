// Calls in closed loops: each connection sends its next request when its answer has arrived and was right.
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
  #connections = [];
  #requests;
  #turn = 0;
  #phase = undefined;
  #error = undefined;

  /** @param {CallSpec} spec */
  constructor(spec) {
    this.#spec = spec;
    this.#requests = spec.paths.map((path) => requestFor(path, spec));
  }

  async prepare() {
    const { port, connections, warmMs, idle } = this.#spec;
    const expected = expectedAnswer(this.#spec);
    const open = () => new Caller(this, port, expected);
    for await (const batch of openInBatches(connections, open)) {
      this.#connections.push(...batch);
      if (idle) await this.#run(batch, 0);
    }
    if (warmMs !== undefined) await this.#run(this.#connections, warmMs);
  }

  async go() {
    const began = performance.now();
    const times = await this.#run(this.#connections, this.#spec.ms);
    const seconds = (performance.now() - began) / 1000;
    times.sort((a, b) => a - b);
    return {
      calls: times.length,
      callsPerSecond: times.length / seconds,
      p50Ms: times[times.length >> 1],
      p99Ms: times[Math.floor(times.length * 0.99)],
    };
  }

  /** @throws {Error} where a connection has broken meanwhile. */
  stillThere() {
    if (this.#error !== undefined) throw this.#error;
  }

  close() {
    for (const connection of this.#connections) connection.close();
  }

  /** @internal Called by a connection that has nothing to do. */
  next(caller) {
    const phase = this.#phase;
    const mayCall = caller.calls === 0 || performance.now() < phase.until;
    if (!mayCall) {
      phase.busy--;
      if (phase.busy === 0) phase.resolve(phase.times);
      return;
    }
    caller.send(this.#requests[this.#turn++ % this.#requests.length]);
  }

  /** @internal */
  answered(ms) {
    this.#phase.times.push(ms);
  }

  /** @internal */
  failed(error) {
    this.#error ??= error;
    this.#phase?.reject(error);
  }

  #run(callers, ms) {
    return new Promise((resolve, reject) => {
      this.#phase = { resolve, reject, until: performance.now() + ms, busy: callers.length, times: [] };
      for (const caller of callers) caller.start();
    });
  }
}

class Caller {
  calls = 0;
  #load;
  #connection;
  #check;
  #expectedBytes;
  #sentAt = 0;

  constructor(load, port, expected) {
    this.#load = load;
    this.#check = new BodyCheck(expected.content);
    this.#expectedBytes = expected.bytes;
    this.#connection = new Connection(port, this, (error) => load.failed(error));
  }

  opened() {
    return this.#connection.opened();
  }

  start() {
    this.calls = 0;
    this.#load.next(this);
  }

  send({ head, body, times }) {
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
    this.calls++;
    this.#load.answered(performance.now() - this.#sentAt);
    this.#load.next(this);
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
