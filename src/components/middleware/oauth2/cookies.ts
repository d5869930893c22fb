import { headerValues, type RawHeaders } from "../../../core/raw-headers.ts";

/** Cookies (RFC 6265) whose names begin with one prefix, which nobody else reads or writes. */
export class Cookies {
  readonly #prefix: string;
  readonly #attributes: string;

  /** @param isSecure they are for TLS alone. */
  constructor(prefix: string, isSecure: boolean) {
    this.#prefix = prefix;
    // Lax: they come along when the authorization server sends the browser back, and with no form of another site.
    this.#attributes = `; Path=/; HttpOnly; SameSite=Lax${isSecure ? "; Secure" : ""}`;
  }

  /** By what follows the prefix. */
  in(headers: readonly string[]): ReadonlyMap<string, string> {
    const found = new Map<string, string>();
    for (const pair of headerValues(headers, "cookie").flatMap(pairsOf)) {
      const [name, value] = nameAndValue(pair);
      if (name.startsWith(this.#prefix)) found.set(name.slice(this.#prefix.length), value);
    }
    return found;
  }

  /** The headers without them, and all others as they were. */
  removedFrom(headers: RawHeaders): RawHeaders {
    const kept: RawHeaders = [];
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i] ?? "";
      const value = headers[i + 1] ?? "";
      if (name.toLowerCase() !== "cookie" || !value.includes(this.#prefix)) {
        kept.push(name, value);
        continue;
      }
      const others = pairsOf(value).filter((pair) => !nameAndValue(pair)[0].startsWith(this.#prefix));
      if (others.length > 0) kept.push(name, others.join("; "));
    }
    return kept;
  }

  /** A `set-cookie` header, name and value. */
  set(name: string, value: string, maxAgeMs: number): RawHeaders {
    return ["set-cookie", `${this.#prefix}${name}=${value}; Max-Age=${Math.floor(maxAgeMs / 1000)}${this.#attributes}`];
  }

  remove(name: string): RawHeaders {
    return this.set(name, "", 0);
  }
}

function pairsOf(header: string): string[] {
  return header
    .split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair !== "");
}

function nameAndValue(pair: string): [name: string, value: string] {
  const at = pair.indexOf("=");
  return at === -1 ? [pair, ""] : [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
}
