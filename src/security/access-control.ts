import type { SpiffeId } from "../core/spiffe-id.ts";
import type { AccessControlSpec, AccessOperationSpec } from "../resources/access-control-spec.ts";

/**
 * Who may call what of an app: `spec.accessControl`, compiled once. It judges a path as it is given, decoded and cleaned;
 * which forms of a path have to be judged is said by invocation/path-readings.ts.
 *
 * Of the operations that name both the path and the verb, the most specific path decides: segment by segment, from the
 * left, a written one goes before one with a `*` in it, that before `*`, that before `**`. Of one path, a written verb
 * goes before `*`, and deny before allow. A deny counts for what is under its path, too, as the least that is said there.
 * What none names falls to the policy's default action, then to the list's.
 */
export class AccessControl {
  readonly #policies: ReadonlyMap<SpiffeId, Policy>;
  readonly #allowsByDefault: boolean;

  constructor(spec: AccessControlSpec) {
    this.#allowsByDefault = spec.defaultAction === "allow";
    this.#policies = new Map(
      spec.policies.map(({ caller, defaultAction = spec.defaultAction, operations }) => {
        return [caller, { allowsByDefault: defaultAction === "allow", root: compile(operations) }];
      }),
    );
  }

  /**
   * @param caller undefined where nobody has proved who calls: then the list's default action holds.
   * @param path decoded, begins with `/`. Empty segments count for nothing.
   * @param verb upper case.
   */
  allows(caller: SpiffeId | undefined, path: string, verb: string): boolean {
    const policy = caller === undefined ? undefined : this.#policies.get(caller);
    if (policy === undefined) return this.#allowsByDefault;
    return find(policy.root, fold(path), 0, verb) ?? policy.allowsByDefault;
  }
}

interface Policy {
  readonly allowsByDefault: boolean;
  readonly root: Node;
}

/** A segment of the operations' paths, the ones before it above it. */
interface Node {
  /** What is said of the path that ends here: verb or `*`, and whether it is allowed. */
  readonly verbs: Map<string, boolean>;
  readonly written: Map<string, Node>;
  /** The most specific first. */
  readonly globs: Glob[];
  /** `*`: any one segment; at the end, none too. */
  any: Node | undefined;
  /** `**`: whatever follows, and nothing too. */
  readonly rest: Map<string, boolean>;
  readonly isRoot: boolean;
}

/** A segment with a `*` in it. */
interface Glob {
  readonly pattern: string;
  /** How much of it is written out. */
  readonly weight: number;
  readonly node: Node;
}

function newNode(isRoot: boolean): Node {
  return { verbs: new Map(), written: new Map(), globs: [], any: undefined, rest: new Map(), isRoot };
}

function compile(operations: readonly AccessOperationSpec[]): Node {
  const root = newNode(true);
  for (const { name, verbs, action } of operations) {
    const segments = fold(name)
      .split("/")
      .filter((segment) => segment !== "");
    const covers = segments.at(-1) === "**" ? segments.slice(0, -1) : segments;
    let node = root;
    for (const segment of covers) node = childFor(node, segment);
    const said = covers === segments ? node.verbs : node.rest;
    for (const verb of verbsOf(verbs, action)) said.set(verb, said.get(verb) !== false && action === "allow");
  }
  return root;
}

/** Without verbs an operation is meant for gRPC: daprd lets HTTP pass it by. To allow, it does here too; to deny, not. */
function verbsOf(verbs: readonly string[], action: AccessOperationSpec["action"]): readonly string[] {
  return verbs.length === 0 && action === "deny" ? ["*"] : verbs;
}

function childFor(node: Node, segment: string): Node {
  if (!segment.includes("*")) {
    const known = node.written.get(segment) ?? newNode(false);
    node.written.set(segment, known);
    return known;
  }
  if (/^\*+$/.test(segment)) {
    node.any ??= newNode(false);
    return node.any;
  }
  const known = node.globs.find(({ pattern }) => pattern === segment);
  if (known !== undefined) return known.node;
  const glob = { pattern: segment, weight: segment.replaceAll("*", "").length, node: newNode(false) };
  node.globs.push(glob);
  node.globs.sort((a, b) => b.weight - a.weight);
  return glob.node;
}

/**
 * What the operations under `node` say of `path` from `at` on; undefined where they say nothing. A node stands at one
 * depth, so it is met once at most: the time is that of all operations at worst.
 */
function find(node: Node, path: string, at: number, verb: string): boolean | undefined {
  let start = at;
  while (path[start] === "/") start++;
  if (start === path.length) return said(node.verbs, verb) ?? said(node.any?.verbs, verb) ?? said(node.rest, verb);
  const slash = path.indexOf("/", start);
  const end = slash === -1 ? path.length : slash;
  const segment = path.slice(start, end);
  const written = node.written.get(segment);
  return (
    (written === undefined ? undefined : find(written, path, end, verb)) ??
    findInGlobs(node.globs, segment, path, end, verb) ??
    (node.any === undefined ? undefined : find(node.any, path, end, verb)) ??
    said(node.rest, verb) ??
    deniedAbove(node, verb)
  );
}

/** Of patterns that are equally specific, one that denies decides. */
function findInGlobs(
  globs: readonly Glob[],
  segment: string,
  path: string,
  end: number,
  verb: string,
): boolean | undefined {
  let allowedAt: number | undefined;
  for (const { pattern, weight, node } of globs) {
    if (allowedAt !== undefined && weight < allowedAt) break;
    if (!matchesGlob(pattern, segment)) continue;
    const allowed = find(node, path, end, verb);
    if (allowed === false) return false;
    if (allowed === true) allowedAt = weight;
  }
  return allowedAt === undefined ? undefined : true;
}

/**
 * daprd takes an operation for everything under its path. So does this where it denies; where it allows, it opens
 * nothing that it does not name. The root is above everything, and means itself alone in daprd too.
 */
function deniedAbove({ isRoot, verbs }: Node, verb: string): false | undefined {
  return !isRoot && said(verbs, verb) === false ? false : undefined;
}

function said(verbs: ReadonlyMap<string, boolean> | undefined, verb: string): boolean | undefined {
  return verbs?.get(verb) ?? verbs?.get("*");
}

/** `*` stands for any text, none included. Linear in time but for going back to the last `*`. */
function matchesGlob(pattern: string, text: string): boolean {
  let [at, inPattern, star, taken] = [0, 0, -1, 0];
  while (at < text.length) {
    if (pattern[inPattern] === "*") {
      [star, taken] = [inPattern, at];
      inPattern++;
    } else if (pattern[inPattern] === text[at]) {
      at++;
      inPattern++;
    } else if (star !== -1) {
      taken++;
      [at, inPattern] = [taken, star + 1];
    } else return false;
  }
  return /^\**$/.test(pattern.slice(inPattern));
}

/**
 * The form in which paths and rules are compared: without case (A5), and without the other ways that Unicode has to write
 * the same text.
 */
function fold(path: string): string {
  if (PRINTABLE_ASCII.test(path)) return path.toLowerCase();
  // Upper case first: it joins what only some apps tell apart (ſ and s, ß and ss, ς and σ).
  return path.normalize("NFC").toUpperCase().toLowerCase().replaceAll("ς", "σ").normalize("NFC");
}

const PRINTABLE_ASCII = /^[ -~]*$/;
