import { stringify } from "yaml";

/** A file of its own, so that only those who ask for YAML load what writes it. */
export function toYaml(value: unknown): string {
  return stringify(value);
}
