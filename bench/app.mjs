// The app where nginx cannot be it: it checks what it is sent, answers in chunks, streams events and very long bodies.
// Its CPU time is not counted. Events are told to it over IPC, so that they cross the measured path in one direction.
import http from "node:http";
import { eventText } from "./events.mjs";
import { BodyCheck, JSON_ANSWER, PATTERN, receipt } from "./pattern.mjs";

const streams = new Set();

const server = http.createServer({ requestTimeout: 0, keepAliveTimeout: 3_600_000 }, (request, response) => {
  if (request.url === "/sink") takeUpload(request, response);
  else if (request.url === "/echo") echoInChunks(request, response);
  else if (request.url === "/events") openStream(response);
  else if (request.url.startsWith("/bytes/")) sendBytes(Number(request.url.slice("/bytes/".length)), response);
  else {
    request.resume();
    response.writeHead(200, { "content-type": "application/json", "content-length": JSON_ANSWER.length });
    response.end(JSON_ANSWER);
  }
});
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });

process.on("message", ({ events, everyMs }) => {
  let number = 1;
  const timer = setInterval(() => {
    for (const stream of streams) stream.write(eventText(number, String(process.hrtime.bigint())));
    if (number++ === events) clearInterval(timer);
  }, everyMs);
});
process.on("disconnect", () => process.exit());

function takeUpload(request, response) {
  const check = new BodyCheck(PATTERN);
  let right = true;
  request.on("data", (chunk) => {
    right &&= check.take(chunk);
  });
  request.on("end", () => {
    const text = right ? receipt(check.bytes) : "wrong bytes";
    response.writeHead(right ? 200 : 400, { "content-length": text.length });
    response.end(text);
  });
}

function echoInChunks(request, response) {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks);
    const quarter = Math.ceil(body.length / 4) || 1;
    response.writeHead(200, { "content-type": "application/octet-stream" });
    for (let at = 0; at < body.length; at += quarter) response.write(body.subarray(at, at + quarter));
    response.end();
  });
}

function openStream(response) {
  // nginx holds answers back unless it is told not to; the others send what they have.
  response.writeHead(200, { "content-type": "text/event-stream", "x-accel-buffering": "no" });
  response.write(eventText(0, String(process.hrtime.bigint())));
  streams.add(response);
  response.on("close", () => streams.delete(response));
}

function sendBytes(bytes, response) {
  response.writeHead(200, { "content-length": bytes });
  let left = bytes;
  const more = () => {
    while (left > 0) {
      const piece = PATTERN.subarray(0, left);
      left -= piece.length;
      if (!response.write(piece) && left > 0) {
        response.once("drain", more);
        return;
      }
    }
    response.end();
  };
  more();
}
