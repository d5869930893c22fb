// Open streams of server-sent events: each must get every event, in order, as it was sent.
import { Connection, openInBatches } from "./connection.mjs";
import { eventText } from "./events.mjs";

/**
 * @typedef {object} StreamSpec
 * @property {number} port
 * @property {string} path
 * @property {number} streams
 * @property {number} events that each stream will get once it is measured
 */
export class StreamLoad {
  #spec;
  #connections = [];
  #times = [];
  #greeted = 0;
  #done = 0;
  #resolve;
  #reject;
  #error;

  /** @param {StreamSpec} spec */
  constructor(spec) {
    this.#spec = spec;
  }

  /** Resolves once every stream has its first event. */
  async prepare() {
    const greeted = this.#until();
    const open = () => new Stream(this, this.#spec);
    for await (const batch of openInBatches(this.#spec.streams, open)) this.#connections.push(...batch);
    await greeted;
  }

  /** Resolves once every stream has had all its events; somebody else tells the app to send them. */
  async go() {
    await this.#until();
    this.#times.sort((a, b) => a - b);
    const count = this.#times.length;
    return { calls: count, p50Ms: this.#times[count >> 1], p99Ms: this.#times[Math.floor(count * 0.99)] };
  }

  close() {
    for (const connection of this.#connections) connection.close();
  }

  /** @internal */
  greeted() {
    if (++this.#greeted === this.#spec.streams) this.#resolve();
  }

  /** @internal */
  received(ms) {
    this.#times.push(ms);
  }

  /** @internal */
  done() {
    if (++this.#done === this.#spec.streams) this.#resolve();
  }

  /** @internal */
  failed(error) {
    this.#error ??= error;
    this.#reject(error);
  }

  #until() {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      if (this.#error !== undefined) reject(this.#error);
    });
  }
}

class Stream {
  #load;
  #connection;
  #next = 0;
  #events;
  #text = "";

  constructor(load, { port, path, events }) {
    this.#load = load;
    this.#events = events;
    this.#connection = new Connection(port, this, (error) => load.failed(error));
    this.#connection.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/event-stream\r\n\r\n`);
  }

  opened() {
    return this.#connection.opened();
  }

  body(buffer, start, end) {
    this.#text += buffer.latin1Slice(start, end);
    let at = 0;
    for (;;) {
      const stop = this.#text.indexOf("\n\n", at);
      if (stop < 0) break;
      this.#take(this.#text.slice(at, stop + 2));
      at = stop + 2;
    }
    this.#text = this.#text.slice(at);
  }

  #take(event) {
    const sentAt = /"at":"(\d+)"/.exec(event)?.[1] ?? "";
    if (event !== eventText(this.#next, sentAt)) throw new Error(`a stream's event ${this.#next} is wrong`);
    if (this.#next === 0) this.#load.greeted();
    else this.#load.received(Number(process.hrtime.bigint() - BigInt(sentAt)) / 1e6);
    if (this.#next === this.#events) this.#load.done();
    this.#next++;
  }

  end() {
    throw new Error("a stream ended");
  }

  close() {
    this.#connection.close();
  }
}
