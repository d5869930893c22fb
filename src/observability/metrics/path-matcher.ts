/** Paths under the pattern that matches them, as Go's ServeMux does it; of several, the most specific. */
export class PathMatcher {
  readonly #root = newNode();

  /** @param patterns as `spec.metrics.http.pathMatching` has them, checked. */
  constructor(patterns: readonly string[]) {
    for (const pattern of patterns) add(this.#root, pattern);
  }

  /** @param path decoded, begins with `/`. @returns undefined where none matches. */
  match(path: string): string | undefined {
    return find(this.#root, path.slice(1).split("/"), 0);
  }
}

/** What patterns say of one segment, the ones before it above it. */
interface Node {
  readonly written: Map<string, Node>;
  /** `{name}`: one segment that is not empty. */
  any: Node | undefined;
  /** The pattern that ends here. */
  ends: string | undefined;
  /** `{rest...}`, or a slash at the end: whatever follows. */
  rest: string | undefined;
}

function newNode(): Node {
  return { written: new Map(), any: undefined, ends: undefined, rest: undefined };
}

function add(root: Node, pattern: string): void {
  const segments = pattern.slice(1).split("/");
  const last = segments.pop() ?? "";
  let node = root;
  for (const segment of segments) node = childFor(node, segment);
  if (last === "" || last.endsWith("...}")) node.rest = pattern;
  else if (last === "{$}") childFor(node, "").ends = pattern;
  else childFor(node, last).ends = pattern;
}

function childFor(node: Node, segment: string): Node {
  if (segment.startsWith("{")) {
    node.any ??= newNode();
    return node.any;
  }
  const child = node.written.get(segment) ?? newNode();
  node.written.set(segment, child);
  return child;
}

function find(node: Node, segments: readonly string[], at: number): string | undefined {
  const segment = segments[at];
  if (segment === undefined) return node.ends;
  const written = node.written.get(segment);
  const found = written === undefined ? undefined : find(written, segments, at + 1);
  if (found !== undefined) return found;
  const wild = node.any === undefined || segment === "" ? undefined : find(node.any, segments, at + 1);
  return wild ?? node.rest;
}
