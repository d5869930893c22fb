import type { ComponentMetadata } from "../components/contract/component-metadata.ts";
import type { ComponentSpec } from "../resources/component-spec.ts";
import type { SecretValues } from "./secret-values.ts";

/** What a component is told, its secrets looked up. @throws {SetupError} naming the component, the field and what is missing. */
export async function componentMetadata(spec: ComponentSpec, values: SecretValues): Promise<ComponentMetadata> {
  const { name, file, metadata, secretStore } = spec;
  const user = { description: `Component ${name} in ${file}`, secretStore };
  const fields = new Map<string, string>();
  for (const field of metadata) {
    fields.set(field.name.toLowerCase(), await values.valueOf(field.source, field.name, user));
  }
  return {
    get: (field) => fields.get(field.toLowerCase()),
    fields: metadata.map((field) => field.name),
    file,
  };
}

/** For error texts and logs. */
export function described({ name, type, file }: ComponentSpec): string {
  return `Component ${name} (${type}) in ${file}`;
}
