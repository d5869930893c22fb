import { SetupError } from "../../core/errors.ts";
import type { NameResolverConfiguration } from "./name-resolver.ts";

/**
 * For components that have nothing to be configured. An empty table is none.
 *
 * @throws {SetupError} naming file, line and the first field.
 */
export function refuseConfiguration(component: string, configuration: NameResolverConfiguration | undefined): void {
  if (configuration?.value === undefined) return;
  const { file, path, value } = configuration;
  const fields = typeof value === "object" && value !== null ? Object.keys(value) : undefined;
  if (fields?.length === 0) return;
  const field = fields?.slice(0, 1) ?? [];
  const name = [...path, ...field].map(String).join(".");
  throw new SetupError(`${file}:${configuration.lineOf(field)}: ${component} takes no configuration; remove ${name}`);
}
