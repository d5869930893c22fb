// gRPC calls in closed loops, over few connections with many streams each. Every byte of every message is held against what
// the app has to answer.
import { once } from "node:events";
import { connect } from "node:net";
import { ClosedLoops } from "./closed-loops.mjs";
import { answerMessage, askFor, METHODS, ping } from "./grpc-messages.mjs";
import { H2Connection } from "./h2-connection.mjs";
import { BodyCheck } from "./pattern.mjs";

const WINDOW = 256 * 1024;
// What a stream gets where a gRPC client says nothing about it: the window of RFC 9113, section 6.9.2.
const STALLED_WINDOW = 65_535;

/**
 * @typedef {object} GrpcSpec
 * @property {number} port
 * @property {[string, string][]} [metadata] of each call
 * @property {number} connections
 * @property {number} atOnce calls at a time on each connection
 * @property {number} [messages] of the answer; what is counted are messages
 * @property {number} [bytes] of each message of the answer
 * @property {boolean} [pingPong] the calls stay open: a message there and back is what is counted
 * @property {boolean} [stalled] one call each, of which nothing is read beyond the first window before `go`
 * @property {number} [warmMs]
 * @property {number} [ms] how long to measure; 0 for exactly one call each
 */
export class GrpcLoad {
  #spec;
  #loops = new ClosedLoops();
  #connections = [];
  #calls = [];
  #stalled;

  /** @param {GrpcSpec} spec */
  constructor(spec) {
    this.#spec = spec;
  }

  async prepare() {
    const { connections, stalled, warmMs } = this.#spec;
    for (let count = 0; count < connections; count++) {
      const connection = await Calling.open(this.#spec, this.#loops);
      this.#connections.push(connection);
      this.#calls.push(...connection.calls);
    }
    if (warmMs !== undefined) await this.#loops.run(this.#calls, warmMs);
    return stalled ? this.#stall() : undefined;
  }

  async go() {
    const { messages = 1, ms } = this.#spec;
    if (this.#stalled !== undefined) {
      for (const connection of this.#connections) connection.grant();
      const { length: calls } = await this.#stalled;
      return { calls: calls * messages };
    }
    const measured = await this.#loops.measure(this.#calls, ms);
    const { calls, callsPerSecond } = measured;
    return { ...measured, calls: calls * messages, callsPerSecond: callsPerSecond * messages };
  }

  close() {
    for (const connection of this.#connections) connection.close();
  }

  /** Resolves once every stream got more than half of its window; how much of the rest comes is for the proxy to say. */
  async #stall() {
    for (const connection of this.#connections) connection.withhold();
    this.#stalled = this.#loops.run(this.#calls, 0);
    const begun = this.#calls.map((call) => call.received(STALLED_WINDOW / 2));
    await Promise.race([Promise.all(begun), this.#stalled]);
    return { window: STALLED_WINDOW };
  }
}

/** A connection and the calls that it carries at a time. */
class Calling {
  calls;
  #connection;
  #streams = new Map();
  #nextId = 1;
  #fields;
  #loops;

  static async open(spec, loops) {
    const socket = connect({ port: spec.port, host: "127.0.0.1" });
    await once(socket, "connect");
    return new Calling(socket, spec, loops);
  }

  constructor(socket, spec, loops) {
    const window = spec.stalled ? STALLED_WINDOW : WINDOW;
    this.#loops = loops;
    this.#fields = fieldsOf(spec);
    this.#connection = new H2Connection(socket, this, { isServer: false, window });
    this.calls = Array.from({ length: spec.atOnce }, () => new Call(this, loops, spec));
  }

  /** @returns {number} the id of a new stream */
  begin(call) {
    const id = this.#nextId;
    this.#nextId += 2;
    this.#streams.set(id, call);
    this.#connection.head(id, this.#fields);
    return id;
  }

  send(id, message, isLast) {
    this.#connection.send(id, message, 1, isLast);
  }

  data(id, data, start, end) {
    this.#streams.get(id).data(data, start, end);
  }

  end(id) {
    const call = this.#streams.get(id);
    this.#streams.delete(id);
    call.end();
  }

  reset(id, code) {
    this.failed(new Error(`stream ${id} was reset with code ${code}`));
  }

  failed(error) {
    this.#loops.failed(error);
  }

  withhold() {
    this.#connection.withhold();
  }

  grant() {
    this.#connection.grant();
  }

  close() {
    this.#connection.close();
  }
}

/** One call after the other, or one that stays open and has one message under way. */
class Call {
  #calling;
  #loops;
  #ask;
  #pingPong;
  #check;
  #expectedBytes;
  #id;
  #sentAt = 0;
  #waiting;

  constructor(calling, loops, { messages = 1, bytes, pingPong = false }) {
    this.#calling = calling;
    this.#loops = loops;
    this.#pingPong = pingPong;
    this.#ask = pingPong ? ping() : askFor(messages, bytes);
    const message = pingPong ? ping() : answerMessage(bytes);
    this.#check = new BodyCheck(message);
    this.#expectedBytes = message.length * messages;
  }

  call() {
    this.#sentAt = performance.now();
    if (!this.#pingPong || this.#id === undefined) this.#id = this.#calling.begin(this);
    this.#calling.send(this.#id, this.#ask, !this.#pingPong);
  }

  data(data, start, end) {
    if (!this.#check.take(data, start, end)) throw new Error("an answer has wrong bytes");
    if (this.#pingPong && this.#check.bytes === this.#expectedBytes) this.#answered();
    else if (this.#check.bytes >= this.#waiting?.bytes) this.#waiting.resolve();
  }

  end() {
    if (this.#pingPong) throw new Error("a stream ended");
    if (this.#check.bytes !== this.#expectedBytes) {
      throw new Error(`an answer has ${this.#check.bytes} bytes instead of ${this.#expectedBytes}`);
    }
    this.#answered();
  }

  /** Resolves once so many bytes of the answer are here. */
  received(bytes) {
    return new Promise((resolve) => {
      this.#waiting = { bytes, resolve };
    });
  }

  #answered() {
    this.#check.reset();
    this.#loops.answered(this, performance.now() - this.#sentAt);
  }
}

function fieldsOf({ port, metadata = [], messages, pingPong }) {
  const streams = messages === undefined ? METHODS.unary : METHODS.serverStream;
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", pingPong ? METHODS.bidiStream : streams],
    [":authority", `127.0.0.1:${port}`],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ["user-agent", "outrigger-bench"],
    ...metadata,
  ];
}
