import type { TestScope } from "./cleanup.ts";
import { type InTestApp, startInTestApp } from "./raw-http-app.ts";

/** An event as an app gets it. */
export interface TakenEvent {
  readonly path: string;
  readonly id: string;
  readonly topic: string;
  readonly data: unknown;
}

export interface SubscribedApp extends InTestApp {
  /** What has come, in order and however often, from when it came. */
  readonly events: TakenEvent[];
}

/**
 * An app that says what it subscribes to, and keeps the events that come.
 *
 * @param subscriptions as `GET /dapr/subscribe` answers them.
 * @param answer the status for an event; 200 where there is none.
 */
export async function startSubscribedApp(
  t: TestScope,
  subscriptions: readonly unknown[],
  answer: (event: TakenEvent) => number | Promise<number> = () => 200,
): Promise<SubscribedApp> {
  const events: TakenEvent[] = [];
  const app = await startInTestApp(t, (request, response, body) => {
    const path = request.url ?? "";
    if (path === "/dapr/subscribe") {
      response.setHeader("Content-Type", "application/json").end(JSON.stringify(subscriptions));
      return;
    }
    const event = { ...(JSON.parse(body) as Omit<TakenEvent, "path">), path };
    events.push(event);
    void Promise.resolve(answer(event)).then((status) => response.writeHead(status).end());
  });
  return { ...app, events };
}
