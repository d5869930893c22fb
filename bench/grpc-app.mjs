// The gRPC app: answers with as many messages as it is asked for, or sends each one back. Its CPU time is not counted, but it
// shares the machine with what is measured, so it knows frames and messages and no more. Told `sent`, it says over IPC how
// many bytes it was rid of.
import { createServer } from "node:net";
import { answerMessage, MessageCutter, readAsk } from "./grpc-messages.mjs";
import { H2Connection } from "./h2-connection.mjs";

const WINDOW = 1024 * 1024;
const HEAD = [
  [":status", "200"],
  ["content-type", "application/grpc"],
];
const OK = [["grpc-status", "0"]];
const UNIMPLEMENTED = [
  ["grpc-status", "12"],
  ["grpc-message", "this app knows other messages"],
];

const units = new Map();
let sentBefore = 0;
const serving = new Set();

class Serving {
  #connection;
  #streams = new Map();

  constructor(socket) {
    this.#connection = new H2Connection(socket, this, { isServer: true, window: WINDOW });
  }

  get sent() {
    return this.#connection.dataSent;
  }

  data(id, data, start, end) {
    const stream = this.#streams.get(id) ?? { cutter: new MessageCutter(), ask: undefined, isOpen: false };
    this.#streams.set(id, stream);
    for (const message of stream.cutter.push(data, start, end)) {
      stream.ask = readAsk(message);
      if (stream.ask?.messages === 0) this.#echo(id, stream, message);
    }
  }

  end(id) {
    const stream = this.#streams.get(id);
    this.#streams.delete(id);
    if (stream?.isOpen) {
      this.#connection.end(id, OK);
      return;
    }
    this.#connection.head(id, HEAD);
    const ask = stream?.ask;
    if (ask === undefined) this.#connection.end(id, UNIMPLEMENTED);
    else this.#connection.send(id, unitOf(ask.bytes), ask.messages, OK);
  }

  reset(id) {
    this.#streams.delete(id);
  }

  failed() {
    if (serving.delete(this)) sentBefore += this.sent;
  }

  #echo(id, stream, message) {
    if (!stream.isOpen) this.#connection.head(id, HEAD);
    stream.isOpen = true;
    this.#connection.send(id, message, 1, false);
  }
}

function unitOf(bytes) {
  const unit = units.get(bytes) ?? answerMessage(bytes);
  units.set(bytes, unit);
  return unit;
}

createServer((socket) => serving.add(new Serving(socket))).listen({
  port: Number(process.argv[2]),
  host: "127.0.0.1",
  backlog: 4096,
});

process.on("message", (message) => {
  if (message !== "sent") return;
  process.send({ sent: [...serving].reduce((sum, one) => sum + one.sent, sentBefore) });
});
process.on("disconnect", () => process.exit());
