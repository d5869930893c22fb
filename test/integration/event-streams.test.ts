import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { beginH2, connectH2, headOf, RESETS } from "../support/h2-client.ts";
import { folderWith, ownHome, startBeside } from "../support/processes.ts";
import { RawConnection } from "../support/raw-http.ts";
import { startInTestApp } from "../support/raw-http-app.ts";
import { waitFor } from "../support/wait.ts";

/**
 * A client that leaves a silent event stream: whoever sends the stream is to notice, wherever it is, though there is nothing
 * to be written. The server is the test's own, and sees its connection close.
 */

interface Stream {
  readonly closed: () => boolean;
}

interface Places {
  /** Streams that have begun, by what was asked for. */
  readonly streams: Map<string, Stream>;
  readonly port: number;
  /** Ports of the APIs: of a sidecar whose app it is, and of one in another process. */
  readonly own: number;
  readonly other: number;
}

async function startPlaces(t: TestContext, codec: "lean" | "node"): Promise<Places> {
  const streams = new Map<string, Stream>();
  const app = await startInTestApp(t, (request, response) => {
    const { url = "" } = request;
    if (!url.startsWith("/events")) {
      response.end("ok");
      return;
    }
    let isClosed = false;
    request.socket.once("close", () => {
      isClosed = true;
    });
    if (!url.includes("unanswered")) {
      response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
    }
    streams.set(url, { closed: () => isClosed });
  });
  const endpoint = `apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata: {name: events}
spec: {baseUrl: "http://127.0.0.1:${app.port}"}
`;
  const flags = ["--resources-path", folderWith(t, { "events.yaml": endpoint })];
  const options = { home: ownHome(t), env: { OUTRIGGER_HTTP_CODEC: codec } };
  const own = await startBeside(t, "streamer", app.port, { ...options, flags });
  const other = await startBeside(t, "other", undefined, options);
  return { streams, port: app.port, own: own.listed.httpPort, other: other.listed.httpPort };
}

/** Every way to the server: which API is asked for which target. */
function waysTo({ own, other, port }: Places): readonly (readonly [api: number, target: string])[] {
  return [
    [own, "events"],
    [own, `http://127.0.0.1:${port}`],
    [own, "streamer"],
    [other, "streamer"],
  ];
}

for (const codec of ["lean", "node"] as const) {
  test(`${codec}: a client that leaves a silent event stream closes it at its source`, async (t) => {
    const places = await startPlaces(t, codec);
    const leaveOne = async (api: number, target: string, leave: "destroy" | "end"): Promise<void> => {
      const path = `/events?${randomUUID()}`;
      const client = await RawConnection.open(t, api);
      client.write(`GET /v1.0/invoke/${target}/method${path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n`);
      await client.waitForText(/data: 1/);
      const stream = places.streams.get(path);
      assert.equal(stream?.closed(), false);
      client[leave]();
      await waitFor(`the stream of ${target} to be closed`, stream.closed);
    };
    const ways = waysTo(places);
    const hows = ["destroy", "end"] as const;
    await Promise.all(ways.flatMap(([api, target]) => hows.map((leave) => leaveOne(api, target, leave))));
  });

  test(`${codec}: a client that leaves before its event stream has begun is noticed at its source`, async (t) => {
    const places = await startPlaces(t, codec);
    const leaveOne = async (api: number, target: string, leave: "destroy" | "end"): Promise<void> => {
      const path = `/events?unanswered-${randomUUID()}`;
      const client = await RawConnection.open(t, api);
      client.write(`GET /v1.0/invoke/${target}/method${path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n`);
      const { closed } = await waitFor(`${target} to be asked`, () => places.streams.get(path));
      client[leave]();
      await waitFor(`the request to ${target} to be closed`, closed);
    };
    const hows = ["destroy", "end"] as const;
    await Promise.all(waysTo(places).flatMap(([api, target]) => hows.map((leave) => leaveOne(api, target, leave))));
  });

  test(`${codec}: a stream that a client of HTTP/2 resets, or whose connection it closes, is closed at its source`, async (t) => {
    const places = await startPlaces(t, codec);
    const leaveOne = async (api: number, target: string, how: string): Promise<void> => {
      const path = `/events?${randomUUID()}`;
      const session = await connectH2(t, `http://127.0.0.1:${api}`);
      const stream = beginH2(session, { path: `/v1.0/invoke/${target}/method${path}` }, true);
      await headOf(stream);
      const [first] = (await once(stream, "data")) as [Buffer];
      assert.equal(String(first), "data: 1\n\n");
      const at = places.streams.get(path);
      assert.equal(at?.closed(), false);
      const reset = RESETS[how];
      if (reset === undefined) session.destroy();
      else reset(stream);
      await waitFor(`the stream of ${target} to be closed after ${how}`, at.closed);
    };
    const ways = waysTo(places);
    const hows = [...Object.keys(RESETS), "the end of its connection"];
    await Promise.all(ways.flatMap(([api, target]) => hows.map((how) => leaveOne(api, target, how))));
  });

  test(`${codec}: a client that has closed its half still gets an answer that takes its time`, async (t) => {
    const places = await startPlaces(t, codec);
    let answer: ((text: string) => void) | undefined;
    const slow = await startInTestApp(t, (_, response) => {
      response.writeHead(200, { "content-type": "text/plain" }).write("one ");
      answer = (text) => response.end(text);
    });
    const client = await RawConnection.open(t, places.own);
    client.write(`GET /v1.0/invoke/http://127.0.0.1:${slow.port}/method/x HTTP/1.1\r\nHost: x\r\n\r\n`);
    client.end();
    await client.waitForText(/one /);
    answer?.("two");
    assert.match(await client.waitForClose(), /one [^]*two/);
  });
}
