import { isPossibleName } from "../../../core/app-id.ts";
import { SetupError } from "../../../core/errors.ts";
import type { NameResolverConfiguration } from "../../contract/name-resolver.ts";

/** Where the sidecar of an app takes calls from others: its internal port. */
export interface StaticAddress {
  /** A name or an address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Addresses by `id`, whatever the namespace, or by `id.namespace`. */
export interface StaticTable {
  /** `the table in config.yaml`, for error texts. */
  readonly description: string;
  readonly addresses: ReadonlyMap<string, readonly StaticAddress[]>;
}

/**
 * Reads `spec.nameResolution.configuration`: a table of app ids, each with one `host:port` or a list of them.
 *
 * @throws {SetupError} naming file, line and what is wrong; also where there is no table, for it would find nobody.
 */
export function readTable(configuration: NameResolverConfiguration | undefined): StaticTable {
  if (configuration === undefined) throw new SetupError("the name resolution component static needs a table");
  const { file, value } = configuration;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong(configuration, [], "give a table of app ids, each with one host:port or a list of them");
  }
  const addresses = new Map(
    Object.entries(value).map(([name, entry]) => {
      refuseImpossibleName(configuration, name);
      return [name, addressesOf(configuration, name, entry)] as const;
    }),
  );
  if (addresses.size === 0) throw wrong(configuration, [], "the table is empty, so no app could be found");
  return { description: `the table in ${file}`, addresses };
}

function refuseImpossibleName(configuration: NameResolverConfiguration, name: string): void {
  const parts = name.split(".");
  if (parts.length <= 2 && parts.every(isPossibleName)) return;
  throw wrong(configuration, [name], `"${name}" is no app id; write id or id.namespace`);
}

function addressesOf(configuration: NameResolverConfiguration, name: string, entry: unknown): StaticAddress[] {
  const isList = Array.isArray(entry);
  const texts: readonly unknown[] = isList ? entry : [entry];
  if (texts.length === 0) throw wrong(configuration, [name], "the list is empty; give at least one host:port");
  const seen = new Set<string>();
  return texts.map((text, at) => {
    const path = isList ? [name, at] : [name];
    if (typeof text !== "string") throw wrong(configuration, path, "give host:port as text");
    const address = parseAddress(text);
    if (address === undefined) {
      throw wrong(configuration, path, `"${text}" is no host:port; write 10.0.0.7:47300, or [fd00::7]:47300`);
    }
    if (seen.has(text)) throw wrong(configuration, path, `"${text}" stands here twice`);
    seen.add(text);
    return address;
  });
}

// What a host name or an IPv4 address may consist of; an IPv6 address, with a zone perhaps, stands in brackets.
const HOST_AND_PORT = /^(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?)):(\d{1,5})$/;

function parseAddress(text: string): StaticAddress | undefined {
  const [, bracketed, plain, digits] = HOST_AND_PORT.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || port < 1 || port > 65_535) return undefined;
  // Brackets are for IPv6 alone.
  if (bracketed !== undefined && !bracketed.includes(":")) return undefined;
  return { host, port };
}

function wrong(configuration: NameResolverConfiguration, below: readonly PropertyKey[], what: string): Error {
  const { file, path } = configuration;
  const name = [...path, ...below].map(String).join(".");
  return new SetupError(`${file}:${configuration.lineOf(below)}: ${name}: ${what}`);
}
