import * as z from "zod";
import { ResourceError, type YamlDocument } from "./yaml-file.ts";

/** `spec.metric` and `spec.metrics` of a Configuration (docs.dapr.io, "Configuration spec", "Configure metrics"). */
export interface MetricsSpec {
  readonly enabled: boolean;
  /** Count the codes of the API's errors. */
  readonly recordErrorCodes: boolean;
  /** Upper bounds in milliseconds, ascending; undefined for daprd's. */
  readonly latencyBuckets: readonly number[] | undefined;
  readonly rules: readonly MetricsRule[];
  readonly http: HttpMetricsSpec;
}

export interface HttpMetricsSpec {
  /** Paths of calls are labels. */
  readonly increasedCardinality: boolean;
  /** Patterns of Go's ServeMux, paths alone: a path that one of them matches is counted under it. */
  readonly pathMatching: readonly string[];
  readonly excludeVerbs: boolean;
}

/** What becomes of the values of one label of one metric. */
export interface MetricsRule {
  /** With or without `dapr_` before it. */
  readonly metric: string;
  readonly label: string;
  readonly rewrites: readonly Rewrite[];
}

export interface Rewrite {
  readonly pattern: RegExp;
  /** As `String.replace` takes it. */
  readonly replacement: string;
}

export const metricsSchema = z.strictObject({
  enabled: z.boolean().optional(),
  recordErrorCodes: z.boolean().optional(),
  latencyDistributionBuckets: z.array(z.number().int().positive()).min(1).optional(),
  rules: z
    .array(
      z.strictObject({
        name: z.string().min(1),
        labels: z.array(z.strictObject({ name: z.string().min(1), regex: z.record(z.string(), z.string()) })),
      }),
    )
    .optional(),
  http: z
    .strictObject({
      increasedCardinality: z.boolean().optional(),
      pathMatching: z.array(z.string()).optional(),
      excludeVerbs: z.boolean().optional(),
    })
    .optional(),
});

type Written = z.output<typeof metricsSchema>;

/**
 * What a document says, over what was said before: field by field, `metrics` before `metric`, as daprd does.
 *
 * @throws {ResourceError} naming file, line and field.
 */
export function readMetrics(
  before: MetricsSpec,
  document: YamlDocument,
  spec: { readonly metric?: Written | undefined; readonly metrics?: Written | undefined },
): MetricsSpec {
  return (["metric", "metrics"] as const).reduce((sum, name) => over(sum, document, name, spec[name]), before);
}

function over(before: MetricsSpec, document: YamlDocument, name: string, written: Written | undefined): MetricsSpec {
  if (written === undefined) return before;
  const { http } = written;
  const path = ["spec", name];
  return {
    enabled: written.enabled ?? before.enabled,
    recordErrorCodes: written.recordErrorCodes ?? before.recordErrorCodes,
    latencyBuckets: bucketsIn(written, document, path) ?? before.latencyBuckets,
    rules: written.rules === undefined ? before.rules : rulesIn(written.rules, document, [...path, "rules"]),
    http:
      http === undefined
        ? before.http
        : {
            increasedCardinality: http.increasedCardinality ?? true,
            pathMatching: patternsIn(http.pathMatching ?? [], document, [...path, "http", "pathMatching"]),
            excludeVerbs: http.excludeVerbs ?? false,
          },
  };
}

type Path = readonly PropertyKey[];

function bucketsIn(
  { latencyDistributionBuckets: bounds }: Written,
  document: YamlDocument,
  path: Path,
): readonly number[] | undefined {
  const misplaced = bounds?.find((bound, at) => bound <= (bounds[at - 1] ?? 0));
  if (misplaced !== undefined) {
    const at = place(document, [...path, "latencyDistributionBuckets"]);
    throw new ResourceError(`${at}: ${misplaced} does not come after a smaller number; write them in ascending order`);
  }
  return bounds;
}

function rulesIn(rules: NonNullable<Written["rules"]>, document: YamlDocument, path: Path): readonly MetricsRule[] {
  return rules.flatMap(({ name, labels }, index) =>
    labels.map(({ name: label, regex }, at) => ({
      metric: name,
      label,
      rewrites: Object.entries(regex).map(([replacement, pattern]) => {
        const where = place(document, [...path, index, "labels", at, "regex", replacement]);
        return { pattern: patternFrom(pattern, where), replacement: replacementFrom(replacement) };
      }),
    })),
  );
}

/** A pattern as Go writes it, as far as JavaScript can say the same. */
function patternFrom(text: string, where: string): RegExp {
  const [, flags = "", rest = ""] = /^(?:\(\?([ims]+)\))?([\s\S]*)$/.exec(text) ?? [];
  try {
    return new RegExp(rest.replaceAll("(?P<", "(?<"), `g${flags}`);
  } catch (cause) {
    throw new ResourceError(`${where}: "${text}" is no regular expression: ${(cause as Error).message}`, { cause });
  }
}

/** Go's `$1`, `${1}` and `${name}`. */
function replacementFrom(text: string): string {
  return text.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => (/^\d+$/.test(name) ? `$${name}` : `$<${name}>`));
}

function patternsIn(patterns: readonly string[], document: YamlDocument, path: Path): readonly string[] {
  for (const [at, pattern] of patterns.entries()) {
    const why = whyNoPattern(pattern);
    if (why !== undefined) throw new ResourceError(`${place(document, [...path, at])}: "${pattern}" ${why}`);
  }
  return patterns;
}

// A segment that is written out, a wildcard for one, for all that follow, or for the end behind a slash.
const SEGMENT = /^(?:[^{}]*|\{[A-Za-z_]\w*\})$/;
const LAST_SEGMENT = /^(?:[^{}]*|\{(?:[A-Za-z_]\w*(?:\.\.\.)?|\$)\})$/;

function whyNoPattern(pattern: string): string | undefined {
  if (!pattern.startsWith("/")) return "does not begin with a slash; write the path alone, as /orders/{orderID}";
  const segments = pattern.slice(1).split("/");
  const wrong = segments.find((text, at) => !(at === segments.length - 1 ? LAST_SEGMENT : SEGMENT).test(text));
  if (wrong === undefined) return undefined;
  return `has the segment "${wrong}"; a wildcard is a whole segment, as {orderID}, at the end also {rest...} or {$}`;
}

function place(document: YamlDocument, path: Path): string {
  return `${document.file}:${document.lineOf(path)}: ${path.map(String).join(".")}`;
}
