import type { ComponentMetadata } from "../components/contract/component-metadata.ts";

/** Which topics of a component an app may publish and subscribe to (A8): fields of the component's metadata. */
export interface TopicScopes {
  mayPublish(topic: string): boolean;
  maySubscribe(topic: string): boolean;
}

/** The fields of a component's metadata that are about scopes, and not for the broker. */
export const SCOPE_FIELDS = ["publishingScopes", "subscriptionScopes", "allowedTopics", "protectedTopics"] as const;

/** @param appId whose component it is. */
export function topicScopes(_metadata: Pick<ComponentMetadata, "get">, _appId: string): TopicScopes {
  return { mayPublish: () => true, maySubscribe: () => true };
}
