import type { HttpMetricsSpec } from "../../resources/metrics-spec.ts";
import { PathMatcher } from "./path-matcher.ts";

/** What stands in `path` and `method` of the metrics of HTTP, as `spec.metrics.http` says. */
export class PathLabels {
  readonly #spec: HttpMetricsSpec;
  readonly #matcher: PathMatcher | undefined;

  constructor(spec: HttpMetricsSpec) {
    this.#spec = spec;
    this.#matcher = spec.pathMatching.length === 0 ? undefined : new PathMatcher(spec.pathMatching);
  }

  /** @param path percent-encoded; shown decoded, as daprd shows it. */
  pathOf(path: string): string {
    const { increasedCardinality } = this.#spec;
    if (this.#matcher === undefined && !increasedCardinality) return "";
    const decoded = decodedPath(path);
    return this.#matcher?.match(decoded) ?? (increasedCardinality ? decoded : "");
  }

  methodOf(method: string): string {
    return this.#spec.excludeVerbs ? "" : method;
  }
}

function decodedPath(path: string): string {
  if (!path.includes("%")) return path;
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
