import type { ComponentMetadata } from "../components/contract/component-metadata.ts";

/** Which topics of a component an app may publish and subscribe to (A8): fields of the component's metadata. */
export interface TopicScopes {
  readonly mayPublish: (topic: string) => boolean;
  readonly maySubscribe: (topic: string) => boolean;
}

/** The fields of a component's metadata that are about scopes, and not for the broker. */
export const SCOPE_FIELDS = ["publishingScopes", "subscriptionScopes", "allowedTopics", "protectedTopics"] as const;

/**
 * `allowedTopics` and `protectedTopics` are topics between commas; the two scopes are `app1=topic1,topic2;app2=`. Spaces mean
 * nothing.
 *
 * @param appId whose component it is.
 */
export function topicScopes(metadata: Pick<ComponentMetadata, "get">, appId: string): TopicScopes {
  const allowed = topicsIn(metadata.get("allowedTopics"));
  const isProtected = topicsIn(metadata.get("protectedTopics"));
  const granted = (field: string): ReadonlySet<string> | undefined => topicsOf(appId, metadata.get(field));
  const gate = (scope: ReadonlySet<string> | undefined) => (topic: string) => {
    if (allowed !== undefined && !allowed.has(topic)) return false;
    // An app that is not named in a scope may do everything, but for what is protected.
    return scope === undefined ? isProtected?.has(topic) !== true : scope.has(topic);
  };
  return { mayPublish: gate(granted("publishingScopes")), maySubscribe: gate(granted("subscriptionScopes")) };
}

/** Undefined where the field is not there, or empty. */
function topicsIn(field: string | undefined): ReadonlySet<string> | undefined {
  const text = withoutSpaces(field);
  return text === "" ? undefined : new Set(text.split(","));
}

/** Undefined where the app is not named; an app that is named without topics has none. */
function topicsOf(appId: string, scope: string | undefined): ReadonlySet<string> | undefined {
  let topics: Set<string> | undefined;
  for (const part of withoutSpaces(scope).split(";")) {
    const [app, list] = part.split("=");
    if (app !== appId || list === undefined) continue;
    topics ??= new Set();
    for (const topic of list.split(",")) if (topic !== "") topics.add(topic);
  }
  return topics;
}

function withoutSpaces(text = ""): string {
  return text.replaceAll(" ", "");
}
