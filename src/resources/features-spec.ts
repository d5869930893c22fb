import * as z from "zod";
import { nearestName } from "../core/nearest-name.ts";

/** `spec.features` of a Configuration. */
export const featuresSchema = z.array(z.strictObject({ name: z.string().min(1), enabled: z.boolean() }));

type Features = z.output<typeof featuresSchema> | undefined;

const HOT_RELOAD = "HotReload";

/** Undefined where it does not say. */
export function hotReloadIn(features: Features): boolean | undefined {
  return features?.findLast(({ name }) => name === HOT_RELOAD)?.enabled;
}

/** Those that mean nothing here, for a warning. */
export function otherFeatures(features: Features): string[] {
  const others = (features ?? []).filter(({ name }) => name !== HOT_RELOAD);
  return others.map(({ name }) => {
    const hint = nearestName(name, [HOT_RELOAD]) === undefined ? "" : ` (did you mean ${HOT_RELOAD}?)`;
    return `the feature ${name}${hint}`;
  });
}
