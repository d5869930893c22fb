import type http from "node:http";
import type { TestScope } from "./cleanup.ts";
import { startInTestApp } from "./raw-http-app.ts";
import { waitFor } from "./wait.ts";

/** What a subscriber was handed. */
export interface HandedEvent {
  readonly path: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly event: CloudEventJson;
}

export interface CloudEventJson {
  readonly id: string;
  readonly topic: string;
  readonly data: unknown;
  readonly [member: string]: unknown;
}

type Answer = (handed: HandedEvent, response: http.ServerResponse) => void;

/** An app in the test itself that is handed events over HTTP. */
export interface Subscriber {
  readonly port: number;
  /** In the order in which they came, those that failed included. */
  readonly handed: HandedEvent[];
  /** How often it was asked what it subscribes to. */
  asked: number;
  /** What becomes of the events from now on; 200 until it is said. */
  answer: Answer;
  /** How it answers probes of its health. */
  health: number;
  close(): void;
  /** Waits until so many events have come. @returns their data. */
  data(count: number): Promise<unknown[]>;
}

const accept: Answer = (_handed, response) => response.writeHead(200).end();

/** @param says what it subscribes to; 404 where it says nothing. */
export async function startSubscriber(t: TestScope, says?: readonly object[], port = 0): Promise<Subscriber> {
  const app = await startInTestApp(
    t,
    (request, response, body) => {
      const path = request.url ?? "";
      if (path === "/dapr/subscribe") {
        subscriber.asked++;
        if (says === undefined) response.writeHead(404).end();
        else response.end(JSON.stringify(says));
      } else if (path === "/healthz") response.writeHead(subscriber.health).end();
      else {
        const handed = { path, headers: request.headers, event: JSON.parse(body) as CloudEventJson };
        subscriber.handed.push(handed);
        subscriber.answer(handed, response);
      }
    },
    port,
  );
  const subscriber: Subscriber = {
    port: app.port,
    handed: [],
    asked: 0,
    answer: accept,
    health: 200,
    close: () => {
      app.close();
    },
    data: async (count) => {
      const { handed } = subscriber;
      await waitFor(`${count} events`, () => handed.length >= count);
      return handed.map(({ event }) => event.data);
    },
  };
  return subscriber;
}

/** A `kind: Subscription` of pubsub and topic to one path. @param more lines of its spec. */
export function subscriptionTo(topic: string, path: string, more = "", pubsub = "pubsub"): string {
  return `apiVersion: dapr.io/v2alpha1
kind: Subscription
metadata: {name: ${topic.replace("*", "any")}-subscription}
spec:
  pubsubname: ${pubsub}
  topic: "${topic}"
  routes: {default: ${path}}
${more.replaceAll(/^(?=.)/gm, "  ")}
---
`;
}

/** A `kind: Component` of pub/sub. */
export function pubsubComponent(name: string, type: string, fields: Readonly<Record<string, string>> = {}): string {
  const metadata = Object.entries(fields).map(([field, value]) => ({ name: field, value }));
  return `apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: ${name}}
spec: {type: ${type}, version: v1, metadata: ${JSON.stringify(metadata)}}
---
`;
}

export function publish(api: string, topic: string, data: unknown, pubsub = "pubsub"): Promise<Response> {
  const headers = { "content-type": "application/json" };
  return fetch(`${api}/v1.0/publish/${pubsub}/${topic}`, { method: "POST", headers, body: JSON.stringify(data) });
}
