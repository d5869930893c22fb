import { BlockList, isIP, isIPv4 } from "node:net";
import type { Answer, Packet, Question } from "dns-packet";

/**
 * What daprd says and understands over mDNS (A5, and the packets of observed/): DNS-SD without `_tcp`, the app id being the
 * service. Outrigger adds one record, under a name that daprd does not look at, with what daprd has no word for.
 */

/** One instance of an app as its records tell of it. */
export interface AnnouncedService {
  readonly appId: string;
  /** `vm:4711.math.local`. */
  readonly name: string;
  /** `vm.local`. */
  readonly target: string;
  /** IPv4 or IPv6. */
  readonly address: string;
  readonly port: number;
  readonly outrigger: OutriggerMark;
}

/** What only an Outrigger says of itself. */
export interface OutriggerMark {
  readonly namespace: string;
  readonly instanceId: string;
}

/** An instance that somebody has announced. */
export interface FoundService {
  readonly appId: string;
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** Undefined where a daprd, or an earlier Outrigger, announces it. */
  readonly outrigger: OutriggerMark | undefined;
}

/** An instance that takes its leave. */
export interface GoneService {
  readonly name: string;
  /** Undefined where all under that name are gone. */
  readonly port: number | undefined;
}

export interface PacketContents {
  readonly found: readonly FoundService[];
  readonly gone: readonly GoneService[];
}

/** Flags of an answer to a query, as recorded; what is announced unasked has none. */
const AUTHORITATIVE = 0x0400;
const SERVICE_TTL_S = 3200;
const ADDRESS_TTL_S = 120;
const DOMAIN = "local";
const SERVICE_LIST = `_services._dns-sd._udp.${DOMAIN}`;
/** daprd reads records whose names end with `<app id>.local`. */
const OUTRIGGER_DOMAIN = `_outrigger.${DOMAIN}`;
/** Whoever looks for apps asks for a few at a time; hundreds of questions are there to be multiplied. */
const MAX_QUESTIONS = 16;
/** RFC 1035 2.3.4. */
export const MAX_LABEL_BYTES = 63;

function serviceNameOf(appId: string): string {
  return `${appId}.${DOMAIN}`;
}

/** @param label tells instances of one app apart: `vm:4711`. */
export function instanceNameOf(label: string, appId: string): string {
  return `${label}.${serviceNameOf(appId)}`;
}

export function hostNameOf(hostname: string): string {
  return hostname.endsWith(`.${DOMAIN}`) ? hostname : `${hostname}.${DOMAIN}`;
}

/** Asks for the instances of an app. */
export function browseQuery(appId: string): Packet {
  return { type: "query", flags: 0, questions: [{ name: serviceNameOf(appId), type: "PTR", class: "IN" }] };
}

/** Tells everybody, unasked. */
export function announcement(service: AnnouncedService): Packet {
  return { type: "response", flags: 0, answers: allRecords(service, { ttl: SERVICE_TTL_S, flush: true }) };
}

/** Takes it back: the same records, which live no longer (RFC 6762 10.1). */
export function goodbye(service: AnnouncedService): Packet {
  return { type: "response", flags: 0, answers: allRecords(service, { ttl: 0, flush: true }) };
}

/** What of a service is asked for: its instance, that there is such a service, or all there is to say of the instance. */
export type Asked = "pointer" | "list" | "instance";

/**
 * What a query asks of `service`, each with the first question that does: to ask twice gets no second answer. Empty where
 * it is not asked, or the asker knows it already, or asks so much that it can only mean harm.
 */
export function askedOf(query: Packet, service: AnnouncedService): ReadonlyMap<Asked, Question> {
  const { questions = [], answers: known = [] } = query;
  const asked = new Map<Asked, Question>();
  if (questions.length > MAX_QUESTIONS) return asked;
  for (const question of questions) {
    const what = askedBy(question, service);
    if (what !== undefined && !asked.has(what) && !isKnown(what, service, known)) asked.set(what, question);
  }
  return asked;
}

function askedBy({ name, type }: Question, service: AnnouncedService): Asked | undefined {
  const asksForPointer = type === "PTR" || (type as string) === "ANY";
  const lowered = name.toLowerCase();
  if (asksForPointer && lowered === serviceNameOf(service.appId).toLowerCase()) return "pointer";
  if (asksForPointer && lowered === SERVICE_LIST) return "list";
  return lowered === service.name.toLowerCase() ? "instance" : undefined;
}

/** One packet, whatever is asked. */
export function answerWith(asked: ReadonlySet<Asked>, service: AnnouncedService): Packet {
  const life = { ttl: SERVICE_TTL_S, flush: false };
  const packet = { type: "response", flags: AUTHORITATIVE } as const;
  // Everything else is in it.
  if (asked.has("instance")) return { ...packet, answers: allRecords(service, life) };
  const list = asked.has("list") ? [listEntry(service, life)] : [];
  if (!asked.has("pointer")) return { ...packet, answers: list };
  const additionals = [...instanceRecords(service, life), addressRecord(service, life), markRecord(service, life)];
  return { ...packet, answers: [pointer(service, life), ...list], additionals };
}

/** RFC 6762 7.1: what the asker says it knows, for at least half of its life, is not told again. */
function isKnown(asked: Asked, service: AnnouncedService, known: readonly Answer[]): boolean {
  if (asked === "instance") return false;
  const [name, data] =
    asked === "pointer" ? [serviceNameOf(service.appId), service.name] : [SERVICE_LIST, serviceNameOf(service.appId)];
  return known.some((other) => {
    if (other.type !== "PTR" || other.name.toLowerCase() !== name.toLowerCase()) return false;
    return other.data.toLowerCase() === data.toLowerCase() && (other.ttl ?? 0) >= SERVICE_TTL_S / 2;
  });
}

interface Life {
  /** Seconds; 0 takes leave. */
  readonly ttl: number;
  /** Whether the record replaces all that are known under its name and type. */
  readonly flush: boolean;
}

/** In daprd's order, ours at the end. */
function allRecords(service: AnnouncedService, life: Life): Answer[] {
  return [
    ...instanceRecords(service, life),
    pointer(service, life),
    listEntry(service, life),
    addressRecord(service, life),
    markRecord(service, life),
  ];
}

function instanceRecords({ name, port, target, appId }: AnnouncedService, { ttl, flush }: Life): Answer[] {
  return [
    { name, type: "SRV", ttl, class: "IN", flush, data: { priority: 0, weight: 0, port, target } },
    { name, type: "TXT", ttl, class: "IN", flush, data: [appId] },
  ];
}

function pointer({ appId, name }: AnnouncedService, { ttl }: Life): Answer {
  return { name: serviceNameOf(appId), type: "PTR", ttl, class: "IN", flush: false, data: name };
}

function listEntry({ appId }: AnnouncedService, { ttl }: Life): Answer {
  return { name: SERVICE_LIST, type: "PTR", ttl, class: "IN", flush: false, data: serviceNameOf(appId) };
}

function addressRecord({ target, address }: AnnouncedService, { ttl, flush }: Life): Answer {
  const type = isIPv4(address) ? "A" : "AAAA";
  return { name: target, type, ttl: ttl === 0 ? 0 : ADDRESS_TTL_S, class: "IN", flush, data: address };
}

function markRecord({ name, outrigger }: AnnouncedService, { ttl, flush }: Life): Answer {
  const data = [`namespace=${outrigger.namespace}`, `instance=${outrigger.instanceId}`];
  return { name: markNameOf(name), type: "TXT", ttl, class: "IN", flush, data };
}

/** `vm:4711.math.local` is spoken of further under `vm:4711.math._outrigger.local`. */
function markNameOf(name: string): string {
  return `${name.slice(0, -DOMAIN.length)}${OUTRIGGER_DOMAIN}`;
}

/**
 * The instances that a response tells of. As daprd reads it: a service counts where the packet has its SRV, its TXT, which
 * is the app id, and an address.
 *
 * @param fromHere whether this machine has sent it: a loopback address means the machine it comes from.
 * @param isWanted of which apps anything is to be known: the others are passed over.
 */
export function readResponse(packet: Packet, fromHere: boolean, isWanted: (appId: string) => boolean): PacketContents {
  const records = [...(packet.answers ?? []), ...(packet.authorities ?? []), ...(packet.additionals ?? [])];
  const texts = textsOf(records);
  const hosts = hostsOf(records, fromHere);
  const found: FoundService[] = [];
  const gone: GoneService[] = [];
  for (const record of records) {
    if (record.type === "PTR" && record.ttl === 0) gone.push({ name: record.data.toLowerCase(), port: undefined });
    if (record.type !== "SRV") continue;
    const name = record.name.toLowerCase();
    const { port, target } = record.data;
    if (record.ttl === 0) {
      gone.push({ name, port });
      continue;
    }
    const appId = texts.get(name)?.[0];
    if (appId === undefined || !isWanted(appId) || !name.endsWith(`.${serviceNameOf(appId).toLowerCase()}`)) continue;
    const host = hosts.get(target.toLowerCase());
    if (host === undefined || port < 1) continue;
    found.push({ appId, name, host, port, outrigger: readMark(texts.get(markNameOf(name))) });
  }
  // A goodbye names the service too; which of several under one name it is stands in its SRV.
  const named = new Set(gone.flatMap(({ name, port }) => (port === undefined ? [] : [name])));
  return { found, gone: gone.filter(({ name, port }) => port !== undefined || !named.has(name)) };
}

/** Names are compared without case (RFC 1035 2.3.3). */
function textsOf(records: readonly Answer[]): Map<string, string[]> {
  const texts = new Map<string, string[]>();
  for (const record of records) {
    if (record.type !== "TXT") continue;
    const parts = Array.isArray(record.data) ? record.data : [record.data];
    texts.set(
      record.name.toLowerCase(),
      parts.map((part) => part.toString()),
    );
  }
  return texts;
}

/** By lower-cased target: its first IPv4 address, else its first IPv6 one, as daprd takes them. */
function hostsOf(records: readonly Answer[], fromHere: boolean): Map<string, string> {
  const hosts = new Map<string, string>();
  for (const record of records) {
    if ((record.type !== "A" && record.type !== "AAAA") || record.ttl === 0) continue;
    const target = record.name.toLowerCase();
    const known = hosts.get(target);
    if (known !== undefined && (isIPv4(known) || record.type === "AAAA")) continue;
    if (isIP(record.data) !== 0 && (fromHere || !leadsAstray(record.data))) hosts.set(target, record.data);
  }
  return hosts;
}

/**
 * What no other machine is called at: addresses that lead back to oneself, in whatever notation, to none, or to many.
 * One list for each family: a mapped subnet of IPv6 holds all of IPv4.
 */
const ASTRAY = {
  IPv4: blockList("ipv4", ["127.0.0.0/8", "0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32"]),
  IPv6: blockList("ipv6", ["::/127", "::ffff:0:0/96", "ff00::/8"]),
};

function blockList(family: "ipv4" | "ipv6", subnets: readonly string[]): BlockList {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [net = "", prefix] = subnet.split("/");
    list.addSubnet(net, Number(prefix), family);
  }
  return list;
}

function leadsAstray(address: string): boolean {
  return isIPv4(address) ? ASTRAY.IPv4.check(address, "ipv4") : ASTRAY.IPv6.check(address, "ipv6");
}

/** Of an own address. */
export function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}

function readMark(texts: readonly string[] | undefined): OutriggerMark | undefined {
  const fields = new Map((texts ?? []).map((text) => [text.split("=", 1)[0] ?? "", text.slice(text.indexOf("=") + 1)]));
  const namespace = fields.get("namespace");
  const instanceId = fields.get("instance");
  return namespace === undefined || instanceId === undefined ? undefined : { namespace, instanceId };
}
