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
 *
 * A deny names more ways to write a path than an allow does ({@link foldWidely}, {@link foldNarrowly}): apps differ in
 * which letters they take for the same.
 */
export class AccessControl {
  readonly #policies: ReadonlyMap<SpiffeId, Policy>;
  readonly #allowsByDefault: boolean;

  constructor(spec: AccessControlSpec) {
    this.#allowsByDefault = spec.defaultAction === "allow";
    this.#policies = new Map(
      spec.policies.map(({ caller, defaultAction = spec.defaultAction, operations }) => {
        const grpcRoot = compile(
          operations.map((operation) => ({ ...operation, verbs: ANY_VERB })),
          sameText,
        );
        return [
          caller,
          { allowsByDefault: defaultAction === "allow", root: compile(operations, foldNarrowly), grpcRoot },
        ];
      }),
    );
  }

  /** False where the list's default action decides alone. */
  hasPolicyFor(caller: SpiffeId | undefined): boolean {
    return caller !== undefined && this.#policies.has(caller);
  }

  /**
   * @param caller undefined where nobody has proved who calls: then the list's default action holds.
   * @param path decoded, begins with `/`. Empty segments count for nothing.
   * @param verb upper case.
   */
  allows(caller: SpiffeId | undefined, path: string, verb: string): boolean {
    const policy = caller === undefined ? undefined : this.#policies.get(caller);
    if (policy === undefined) return this.#allowsByDefault;
    const call = { path: foldWidely(path), narrow: foldNarrowly(path), verb };
    return find(policy.root, call, 0) ?? policy.allowsByDefault;
  }

  /**
   * The same for a method of gRPC, which has no verb: an operation counts whatever its verbs are (A5). An allow is
   * compared with case, as gRPC does; a deny without, for some frameworks route so.
   *
   * @param path `/package.Service/Method`.
   */
  allowsGrpc(caller: SpiffeId | undefined, path: string): boolean {
    const policy = caller === undefined ? undefined : this.#policies.get(caller);
    if (policy === undefined) return this.#allowsByDefault;
    return find(policy.grpcRoot, { path: foldWidely(path), narrow: path, verb: "*" }, 0) ?? policy.allowsByDefault;
  }
}

interface Policy {
  readonly allowsByDefault: boolean;
  readonly root: Node;
  /** Of the same operations, each for all verbs and with its name as it is written. */
  readonly grpcRoot: Node;
}

const ANY_VERB = ["*"];

function sameText(name: string): string {
  return name;
}

/** What is to be judged. */
interface Call {
  /** Folded widely. */
  readonly path: string;
  /** The same path, folded narrowly, or for gRPC as it is. */
  readonly narrow: string;
  readonly verb: string;
}

/** Denied, or allowed where the call's path is named by one of these, folded narrowly. */
type Said = false | readonly string[];

/** A segment of the operations' paths, folded widely, the ones before it above it. */
interface Node {
  /** What is said of the path that ends here, by verb or `*`. */
  readonly verbs: Map<string, Said>;
  readonly written: Map<string, Node>;
  /** The most specific first. */
  readonly globs: Glob[];
  /** `*`: any one segment; at the end, none too. */
  any: Node | undefined;
  /** `**`: whatever follows, and nothing too. */
  readonly rest: Map<string, Said>;
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

/** @param fold for names that allow. */
function compile(operations: readonly AccessOperationSpec[], fold: (name: string) => string): Node {
  const root = newNode(true);
  for (const { name, verbs, action } of operations) {
    const segments = segmentsOf(foldWidely(name));
    const covers = segments.at(-1) === "**" ? segments.slice(0, -1) : segments;
    let node = root;
    for (const segment of covers) node = childFor(node, segment);
    const said = covers === segments ? node.verbs : node.rest;
    for (const verb of verbsOf(verbs, action)) {
      const known = said.get(verb) ?? [];
      said.set(verb, known !== false && action === "allow" && [...known, fold(name)]);
    }
  }
  return root;
}

function segmentsOf(path: string): string[] {
  return path.split("/").filter((segment) => segment !== "");
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
 * What the operations under `node` say of the call's path from `at` on; undefined where they say nothing. A node stands at one
 * depth, so it is met once at most: the time is that of all operations at worst.
 */
function find(node: Node, call: Call, at: number): boolean | undefined {
  const { path } = call;
  let start = at;
  while (path[start] === "/") start++;
  if (start === path.length) return said(node.verbs, call) ?? said(node.any?.verbs, call) ?? said(node.rest, call);
  const slash = path.indexOf("/", start);
  const end = slash === -1 ? path.length : slash;
  const segment = path.slice(start, end);
  const written = node.written.get(segment);
  return (
    (written === undefined ? undefined : find(written, call, end)) ??
    findInGlobs(node.globs, segment, call, end) ??
    (node.any === undefined ? undefined : find(node.any, call, end)) ??
    said(node.rest, call) ??
    deniedAbove(node, call)
  );
}

/** Of patterns that are equally specific, one that denies decides. */
function findInGlobs(globs: readonly Glob[], segment: string, call: Call, end: number): boolean | undefined {
  let allowedAt: number | undefined;
  for (const { pattern, weight, node } of globs) {
    if (allowedAt !== undefined && weight < allowedAt) break;
    if (!matchesGlob(pattern, segment)) continue;
    const allowed = find(node, call, end);
    if (allowed === false) return false;
    if (allowed === true) allowedAt = weight;
  }
  return allowedAt === undefined ? undefined : true;
}

/**
 * daprd takes an operation for everything under its path. So does this where it denies; where it allows, it opens
 * nothing that it does not name. The root is above everything, and means itself alone in daprd too.
 */
function deniedAbove({ isRoot, verbs }: Node, call: Call): false | undefined {
  return !isRoot && said(verbs, call) === false ? false : undefined;
}

function said(verbs: ReadonlyMap<string, Said> | undefined, call: Call): boolean | undefined {
  return verbs === undefined ? undefined : (heard(verbs.get(call.verb), call) ?? heard(verbs.get("*"), call));
}

/** An allow that was only found because the tree is folded widely says nothing. */
function heard(said: Said | undefined, { path, narrow }: Call): boolean | undefined {
  if (said === undefined || said === false) return said;
  return said.some((name) => (path === narrow && LOWER_ASCII.test(name)) || names(name, narrow)) ? true : undefined;
}

/** Whether an operation's name, by itself, is for `path`; both folded in the same way. */
function names(name: string, path: string): boolean {
  const patterns = segmentsOf(name);
  const segments = segmentsOf(path);
  const last = patterns.at(-1) ?? "";
  if (last === "**") {
    patterns.pop();
    segments.length = Math.min(segments.length, patterns.length);
  } else if (/^\*+$/.test(last) && segments.length === patterns.length - 1) patterns.pop();
  return (
    segments.length === patterns.length && patterns.every((pattern, at) => matchesGlob(pattern, segments[at] ?? ""))
  );
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
 * The form in which a deny is compared: without case (A5), without the other ways that Unicode has to write the same text,
 * and without what only some apps tell apart (ſ and s, ß and ss, ς and σ), which upper case joins.
 */
function foldWidely(path: string): string {
  if (PRINTABLE_ASCII.test(path)) return path.toLowerCase();
  return path.normalize("NFC").toUpperCase().toLowerCase().replaceAll("ς", "σ").normalize("NFC");
}

/** The form in which an allow is compared: it opens nothing that some app takes for another path than the one it names. */
function foldNarrowly(path: string): string {
  return path.normalize("NFC").toLowerCase();
}

const PRINTABLE_ASCII = /^[ -~]*$/;
const LOWER_ASCII = /^[ -@[-~]*$/;
