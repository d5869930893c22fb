// Publishers in closed loops: each publishes its next event when its last one is taken, at once or after a pause.
import { ClosedLoops } from "./closed-loops.mjs";
import { Connection } from "./connection.mjs";
import { eventData } from "./published-event.mjs";

/**
 * @typedef {object} PublishSpec
 * @property {number} port
 * @property {string} path
 * @property {number} publishers at once
 * @property {number} [everyMs] the pause of each behind an answer; left out: none
 * @property {number} ms how long to publish; each publishes at least one event
 */
export class PublishLoad {
  #spec;
  #loops = new ClosedLoops();
  #publishers = [];

  /** @param {PublishSpec} spec */
  constructor(spec) {
    this.#spec = spec;
  }

  async prepare() {
    this.#publishers = Array.from({ length: this.#spec.publishers }, () => new OnePublisher(this.#loops, this.#spec));
    await Promise.all(this.#publishers.map((publisher) => publisher.opened()));
  }

  async go() {
    const beganAt = String(process.hrtime.bigint());
    return { beganAt, ...(await this.#loops.measure(this.#publishers, this.#spec.ms)) };
  }

  close() {
    for (const publisher of this.#publishers) publisher.close();
  }
}

class OnePublisher {
  #loops;
  #path;
  #everyMs;
  #connection;
  #sentAt = 0;

  constructor(loops, { port, path, everyMs = 0 }) {
    this.#loops = loops;
    this.#path = path;
    this.#everyMs = everyMs;
    this.#connection = new Connection(port, this, (error) => loops.failed(error), 204);
  }

  opened() {
    return this.#connection.opened();
  }

  call() {
    if (this.#everyMs === 0) this.#publish();
    else setTimeout(() => this.#publish(), this.#everyMs);
  }

  /** Of an answer that has none. */
  body() {
    throw new Error("an answer 204 has a body");
  }

  end() {
    this.#loops.answered(this, performance.now() - this.#sentAt);
  }

  close() {
    this.#connection.close();
  }

  #publish() {
    this.#sentAt = performance.now();
    const data = eventData();
    const about = `host: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${data.length}`;
    this.#connection.write(`POST ${this.#path} HTTP/1.1\r\n${about}\r\n\r\n${data}`);
  }
}
