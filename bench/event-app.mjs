// The app that events are delivered to: it counts them, and knows by what is written in them how long each was on its way.
// Its CPU time is not counted. It says how it stands over IPC: whoever waits for events asks for so many of them.
import http from "node:http";
import { EVENT_TOPIC, PUBSUB, sentAtOf } from "./published-event.mjs";

const ROUTE = "/events";
const subscriptions = JSON.stringify([{ pubsubname: PUBSUB, topic: EVENT_TOPIC, route: ROUTE }]);

let times = [];
let lastAt = 0n;
let awaited = Number.POSITIVE_INFINITY;

const server = http.createServer({ requestTimeout: 0, keepAliveTimeout: 3_600_000 }, (request, response) => {
  if (request.url !== ROUTE) {
    request.resume();
    answer(response, request.url === "/dapr/subscribe" ? subscriptions : "{}");
    return;
  }
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    lastAt = process.hrtime.bigint();
    times.push(Number(lastAt - sentAtOf(Buffer.concat(pieces))) / 1e6);
    answer(response, '{"status":"SUCCESS"}');
    tellWhenThere();
  });
});
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });

process.on("message", (asked) => {
  if (asked.type === "begin") {
    times = [];
    process.send({ began: true });
    return;
  }
  awaited = asked.events;
  tellWhenThere();
});
process.on("disconnect", () => process.exit());

function tellWhenThere() {
  if (times.length < awaited) return;
  awaited = Number.POSITIVE_INFINITY;
  const sorted = times.toSorted((a, b) => a - b);
  process.send({
    events: sorted.length,
    lastAt: String(lastAt),
    p50Ms: sorted[sorted.length >> 1],
    p99Ms: sorted[Math.floor(sorted.length * 0.99)],
  });
}

function answer(response, json) {
  response.writeHead(200, { "content-type": "application/json", "content-length": json.length });
  response.end(json);
}
