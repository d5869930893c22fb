import { goRegExp } from "../../../core/go-regexp.ts";
import { formEncoded } from "./form-encoded.ts";

/** A path of the API by another name: what it is called by, and what it stands for. */
export interface Alias {
  readonly pattern: RegExp;
  /** Names of what stands between braces, in their order. */
  readonly parameters: readonly string[];
  readonly path: string;
  /** Of the target itself. */
  readonly query: string | undefined;
}

/**
 * @param template a path; `{name}` stands for what is between two slashes, `{name:expression}` for what a regular
 *   expression matches (github.com/gorilla/mux, which contrib uses).
 * @param target begins with `/`, and may have a query.
 * @throws {Error} saying what is wrong with either.
 */
export function readAlias(template: string, target: string): Alias {
  if (!template.startsWith("/")) throw new Error(`the path "${template}" does not begin with /`);
  if (!target.startsWith("/")) throw new Error(`"${template}" stands for "${target}", which does not begin with /`);
  const parameters: string[] = [];
  let expression = "";
  for (const part of partsOf(template)) {
    if (part.name === undefined) {
      expression += escaped(part.text);
      continue;
    }
    if (part.name === "") throw new Error(`the path "${template}" has a parameter without a name`);
    if (parameters.includes(part.name)) throw new Error(`the path "${template}" has two parameters ${part.name}`);
    parameters.push(part.name);
    expression += `(?P<p${parameters.length}>${part.text})`;
  }
  const at = target.indexOf("?");
  const path = at === -1 ? target : target.slice(0, at);
  return {
    pattern: goRegExp(`^${expression}$`),
    parameters,
    // As it is sent: what no URL has is escaped.
    path: path.replace(/[^!-~]+/gu, encodeURIComponent),
    query: at === -1 ? undefined : target.slice(at + 1),
  };
}

interface Part {
  /** Undefined for plain text. */
  readonly name: string | undefined;
  /** The text, or the expression of a parameter. */
  readonly text: string;
}

/** Braces may stand within braces, as `{id:[0-9]{3}}` has them. */
function partsOf(template: string): Part[] {
  const parts: Part[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < template.length; at++) {
    if (template[at] === "{" && depth++ === 0) {
      parts.push({ name: undefined, text: template.slice(start, at) });
      start = at + 1;
    } else if (template[at] === "}" && --depth === 0) {
      parts.push(parameter(template.slice(start, at)));
      start = at + 1;
    }
    if (depth < 0) break;
  }
  if (depth !== 0) throw new Error(`the braces of the path "${template}" do not match`);
  parts.push({ name: undefined, text: template.slice(start) });
  return parts;
}

function parameter(text: string): Part {
  const colon = text.indexOf(":");
  if (colon === -1) return { name: text, text: "[^/]+" };
  return { name: text.slice(0, colon), text: text.slice(colon + 1) };
}

function escaped(text: string): string {
  return text.replace(/[$()*+.?[\\\]^{|}]/g, "\\$&");
}

export interface Place {
  readonly path: string;
  readonly query: string | undefined;
}

/** @param path decoded. @returns undefined where the alias is another one. */
export function resolve(alias: Alias, path: string, query: string | undefined): Place | undefined {
  const match = alias.pattern.exec(path);
  if (match === null) return undefined;
  const ofBoth = joined(alias.query, query);
  if (alias.parameters.length === 0) return { path: alias.path, query: ofBoth };
  const fields = new URLSearchParams(ofBoth);
  alias.parameters.forEach((name, at) => {
    fields.append(name, match.groups?.[`p${at + 1}`] ?? "");
  });
  return { path: alias.path, query: formEncoded(fields) };
}

function joined(one: string | undefined, other: string | undefined): string | undefined {
  if (one === undefined || one === "") return other;
  return other === undefined || other === "" ? one : `${one}&${other}`;
}
