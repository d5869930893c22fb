import { isIP, isIPv4 } from "node:net";
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

/** What `service` answers to a query; nothing where it is not asked, or the asker knows it already. */
export function answersTo(query: Packet, service: AnnouncedService): Packet[] {
  const known = query.answers ?? [];
  return (query.questions ?? []).flatMap((question) => {
    const answer = answerTo(question, service);
    if (answer === undefined || answer.answers?.every((record) => isKnown(record, known)) === true) return [];
    return [answer];
  });
}

function answerTo(question: Question, service: AnnouncedService): Packet | undefined {
  const name = question.name.toLowerCase();
  const life = { ttl: SERVICE_TTL_S, flush: false };
  const packet = { type: "response", flags: AUTHORITATIVE } as const;
  const asksForPointer = question.type === "PTR" || (question.type as string) === "ANY";
  if (asksForPointer && name === serviceNameOf(service.appId).toLowerCase()) {
    const additionals = [...instanceRecords(service, life), addressRecord(service, life), markRecord(service, life)];
    return { ...packet, answers: [pointer(service, life)], additionals };
  }
  if (asksForPointer && name === SERVICE_LIST) return { ...packet, answers: [listEntry(service, life)] };
  if (name === service.name.toLowerCase()) return { ...packet, answers: allRecords(service, life) };
  return undefined;
}

/** RFC 6762 7.1: what the asker says it knows, for at least half of its life, is not told again. */
function isKnown(record: Answer, known: readonly Answer[]): boolean {
  if (record.type !== "PTR") return false;
  return known.some((other) => {
    if (other.type !== "PTR" || other.name.toLowerCase() !== record.name.toLowerCase()) return false;
    return other.data.toLowerCase() === record.data.toLowerCase() && (other.ttl ?? 0) >= SERVICE_TTL_S / 2;
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
 */
export function readResponse(packet: Packet, fromHere: boolean): PacketContents {
  const records = [...(packet.answers ?? []), ...(packet.authorities ?? []), ...(packet.additionals ?? [])];
  const texts = textsOf(records);
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
    const host = addressOf(target, records, fromHere);
    if (appId === undefined || host === undefined || port < 1) continue;
    if (!name.endsWith(`.${serviceNameOf(appId).toLowerCase()}`)) continue;
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

/** The first IPv4 address of the target, else its first IPv6 one, as daprd takes them. */
function addressOf(target: string, records: readonly Answer[], fromHere: boolean): string | undefined {
  const addresses = records.flatMap((record) => {
    if ((record.type !== "A" && record.type !== "AAAA") || record.ttl === 0) return [];
    const isUsable = isIP(record.data) !== 0 && (fromHere || !isLoopback(record.data));
    return isUsable && record.name.toLowerCase() === target.toLowerCase() ? [record.data] : [];
  });
  return addresses.find((address) => isIPv4(address)) ?? addresses[0];
}

export function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}

function readMark(texts: readonly string[] | undefined): OutriggerMark | undefined {
  const fields = new Map((texts ?? []).map((text) => [text.split("=", 1)[0] ?? "", text.slice(text.indexOf("=") + 1)]));
  const namespace = fields.get("namespace");
  const instanceId = fields.get("instance");
  return namespace === undefined || instanceId === undefined ? undefined : { namespace, instanceId };
}
