import type { AppResources } from "../../resources/app-resources.ts";

interface Named {
  readonly name: string;
}

/** What is different, for people to read: `HTTPEndpoint github added`. */
export function changesBetween(before: AppResources, after: AppResources): string[] {
  return [
    ...changesOf("HTTPEndpoint", before.endpoints, after.endpoints),
    ...changesOf("Component", before.secretStores, after.secretStores),
    ...changesOf("Component", before.middleware, after.middleware),
    ...changesOf("Component", before.pubsubs, after.pubsubs),
    ...changesOf("Subscription", before.subscriptions, after.subscriptions),
    ...changesOf("Resiliency", before.resiliency, after.resiliency),
  ];
}

function changesOf(kind: string, before: readonly Named[], after: readonly Named[]): string[] {
  const [old, now] = [textsOf(before), textsOf(after)];
  const told = (name: string, what: string): string => `${kind} ${name} ${what}`;
  return [
    ...[...now].flatMap(([name, text]) => {
      const earlier = old.get(name);
      if (earlier === undefined) return [told(name, "added")];
      return earlier === text ? [] : [told(name, "changed")];
    }),
    ...[...old.keys()].filter((name) => !now.has(name)).map((name) => told(name, "removed")),
  ];
}

/** By name; of Resiliency documents several may have one. Functions, which find lines, are left out. */
function textsOf(specs: readonly Named[]): Map<string, string> {
  const texts = new Map<string, string>();
  for (const spec of specs) texts.set(spec.name, (texts.get(spec.name) ?? "") + JSON.stringify(spec, writable));
  return texts;
}

function writable(_key: string, value: unknown): unknown {
  if (value instanceof Map) return [...(value as Map<unknown, unknown>)];
  return value === Number.POSITIVE_INFINITY ? "infinite" : value;
}
