import type { ComponentMetadata } from "../../components/contract/component-metadata.ts";
import { nearestName } from "../../core/nearest-name.ts";
import type { ComponentSpec } from "../../resources/component-spec.ts";
import type { SecretValues } from "./secret-values.ts";

/** What a component is told, its secrets looked up. @throws {SetupError} naming the component, the field and what is missing. */
export async function componentMetadata(spec: ComponentSpec, values: SecretValues): Promise<ComponentMetadata> {
  const { name, file, metadata, secretStore } = spec;
  const user = { description: `Component ${name} in ${file}`, secretStore };
  const fields = new Map<string, string>();
  for (const field of metadata) {
    fields.set(field.name.toLowerCase(), await values.valueOf(field.source, field.name, user));
  }
  const names = metadata.map((field) => field.name);
  const placeOf = (field: string): string => {
    const written = names.find((name) => name.toLowerCase() === field.toLowerCase());
    return `${file}:${spec.lineOf(written ?? field)}`;
  };
  return {
    get: (field) => fields.get(field.toLowerCase()),
    fields: names,
    file,
    placeOf,
    refuseUnknown: (known) => {
      const unknown = firstUnknown(names, known);
      if (unknown !== undefined) throw new Error(`${placeOf(unknown)}: ${whyUnknown(unknown, known)}`);
    },
  };
}

function firstUnknown(names: readonly string[], known: readonly string[]): string | undefined {
  const lower = new Set(known.map((name) => name.toLowerCase()));
  return names.find((name) => !lower.has(name.toLowerCase()));
}

function whyUnknown(name: string, known: readonly string[]): string {
  const near = nearestName(name, known);
  if (near !== undefined) return `unknown metadata field "${name}"; did you mean "${near}"?`;
  const all = known.length === 0 ? "the component has no fields" : `the fields are ${known.join(", ")}`;
  return `unknown metadata field "${name}"; ${all}`;
}

/** For error texts and logs. */
export function described({ name, type, file }: ComponentSpec): string {
  return `Component ${name} (${type}) in ${file}`;
}
