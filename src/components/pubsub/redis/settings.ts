import { parseGoDuration } from "../../../core/go-duration.ts";
import type { ComponentMetadata } from "../../contract/component-metadata.ts";

/** What the metadata of a `pubsub.redis` says; times in milliseconds. */
export interface RedisSettings {
  /** More than one for a cluster, or for sentinels. */
  readonly hosts: readonly RedisHost[];
  readonly kind: "node" | "cluster" | "sentinel";
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly sentinel: { readonly master: string; readonly username?: string; readonly password?: string } | undefined;
  readonly db: number;
  readonly tls: RedisTls | undefined;
  /** How often a command is sent again after its connection failed, and the shortest and longest wait before that. */
  readonly maxRetries: number;
  readonly minRetryMs: number;
  readonly maxRetryMs: number;
  readonly dialTimeoutMs: number;
  /** Undefined: an answer is waited for without end. */
  readonly readTimeoutMs: number | undefined;
  /** How long a command waits for a connection that is down. */
  readonly waitForConnectionMs: number;
  /** Undefined: streams grow without end. */
  readonly maxLenApprox: number | undefined;
  readonly streamTtlMs: number | undefined;
  /** How long nobody may have been at work on an event before another takes it; 0: nobody does. */
  readonly processingTimeoutMs: number;
  readonly redeliverIntervalMs: number;
  readonly queueDepth: number;
  readonly concurrency: number;
  readonly ackOnError: boolean;
}

export interface RedisHost {
  readonly host: string;
  readonly port: number;
}

export interface RedisTls {
  readonly rejectUnauthorized: boolean;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

const ENTRA_ID = ["useEntraID", "useAzureAD"];
const OIDC = [
  "useOIDC",
  "oidcTokenEndpoint",
  "oidcClientID",
  "oidcClientAssertionCert",
  "oidcClientAssertionKey",
  "oidcResource",
  "oidcAudience",
  "oidcKid",
  "oidcScopes",
  "oidcCACert",
];
// Of go-redis' pool of connections, which we have none of.
const POOL_COUNTS = ["poolSize", "minIdleConns"];
const POOL_TIMES = ["maxConnAge", "idleCheckFrequency", "idleTimeout"];
const KNOWN = [
  "redisHost",
  "redisPort",
  "redisPassword",
  "redisUsername",
  "redisType",
  "redisDB",
  "failover",
  "sentinelMasterName",
  "sentinelUsername",
  "sentinelPassword",
  "enableTLS",
  "insecureSkipTLSVerify",
  "caCert",
  "clientCert",
  "clientKey",
  "redisMaxRetries",
  "redisMinRetryInterval",
  "redisMaxRetryInterval",
  "dialTimeout",
  "readTimeout",
  "writeTimeout",
  "poolTimeout",
  "maxLenApprox",
  "streamTTL",
  "processingTimeout",
  "redeliverInterval",
  "queueDepth",
  "concurrency",
  "ackOnError",
  ...POOL_COUNTS,
  ...POOL_TIMES,
  ...ENTRA_ID,
  ...OIDC,
];

/** @throws {Error} naming place and field, and never a value that may be a secret. */
export function readRedisSettings(metadata: ComponentMetadata): RedisSettings {
  metadata.refuseUnknown(KNOWN);
  const fields = new Fields(metadata);
  fields.refuse(ENTRA_ID, "Outrigger does not log in to Redis with Entra ID; use redisUsername and redisPassword");
  fields.refuse(OIDC, "Outrigger does not log in to Redis with OIDC; use redisUsername and redisPassword");
  for (const field of POOL_COUNTS) fields.count(field, 0);
  for (const field of POOL_TIMES) fields.time(field, 0);
  const kind = kindOf(fields);
  const readTimeoutMs = fields.time("readTimeout", 3000);
  // Reading and writing are one wait for the answer here.
  const writeTimeoutMs = fields.time("writeTimeout", readTimeoutMs ?? -1);
  const answerMs =
    readTimeoutMs === undefined || writeTimeoutMs === undefined ? undefined : Math.max(readTimeoutMs, writeTimeoutMs);
  const maxRetries = fields.integer("redisMaxRetries", 0);
  return {
    hosts: hostsOf(fields, kind),
    kind,
    username: fields.text("redisUsername"),
    password: fields.text("redisPassword"),
    sentinel: sentinelOf(fields, kind),
    db: kind === "cluster" ? 0 : fields.count("redisDB", 0),
    tls: tlsOf(fields),
    maxRetries: Math.max(0, maxRetries),
    minRetryMs: fields.time("redisMinRetryInterval", 8) ?? 0,
    maxRetryMs: fields.time("redisMaxRetryInterval", 512) ?? 0,
    dialTimeoutMs: notZero(fields.time("dialTimeout", 5000)) ?? 5000,
    readTimeoutMs: answerMs === 0 ? 3000 : answerMs,
    waitForConnectionMs: fields.time("poolTimeout", (answerMs ?? 3000) + 1000) ?? 4000,
    maxLenApprox: notZero(fields.count("maxLenApprox", 0)),
    streamTtlMs: notZero(fields.time("streamTTL", 0)),
    processingTimeoutMs: fields.time("processingTimeout", 15_000) ?? 0,
    redeliverIntervalMs: fields.time("redeliverInterval", 60_000) ?? 0,
    queueDepth: Math.max(1, fields.count("queueDepth", 100)),
    concurrency: Math.max(1, fields.count("concurrency", 10)),
    ackOnError: fields.flag("ackOnError"),
  };
}

function notZero(number: number | undefined): number | undefined {
  return number === 0 ? undefined : number;
}

function kindOf(fields: Fields): RedisSettings["kind"] {
  const type = fields.text("redisType")?.toLowerCase() ?? "node";
  if (type !== "node" && type !== "cluster") throw fields.wrong("redisType", `is "${type}"; write node or cluster`);
  if (!fields.flag("failover")) return type;
  if (type === "cluster") throw fields.wrong("failover", "does not go with redisType cluster; remove one of them");
  return "sentinel";
}

function hostsOf(fields: Fields, kind: RedisSettings["kind"]): RedisHost[] {
  const text = fields.text("redisHost");
  if (text === undefined) throw fields.wrong("redisHost", "is missing or empty; write host:port, as localhost:6379");
  const port = fields.count("redisPort", 0);
  const hosts = text.split(",").map((entry) => hostOf(fields, entry.trim(), port));
  if (kind === "node" && hosts.length > 1) {
    throw fields.wrong(
      "redisHost",
      "names several hosts; for a cluster write redisType: cluster, for sentinels failover: true",
    );
  }
  return hosts;
}

function hostOf(fields: Fields, entry: string, port: number): RedisHost {
  if (entry.includes("://") || entry.includes("@")) {
    throw fields.wrong("redisHost", "is a URL; write host:port, and what else it says into fields of their own");
  }
  const [, bracketed, plain, written] = /^(?:\[([^\]]+)\]|([^:[\]\s]+))(?::(\d+))?$/.exec(entry) ?? [];
  const host = bracketed ?? plain ?? (/^[0-9a-f:]+$/i.test(entry) ? entry : undefined);
  const ownPort = written === undefined ? undefined : Number(written);
  if (host === undefined || (ownPort ?? 1) > 65_535 || port > 65_535) {
    throw fields.wrong("redisHost", `is "${entry}"; write host:port, as localhost:6379`);
  }
  if (ownPort !== undefined && port !== 0 && ownPort !== port) {
    throw fields.wrong("redisPort", `is ${port}, and redisHost says ${ownPort}; remove one of them`);
  }
  return { host, port: ownPort ?? (port === 0 ? 6379 : port) };
}

function sentinelOf(fields: Fields, kind: RedisSettings["kind"]): RedisSettings["sentinel"] {
  if (kind !== "sentinel") return undefined;
  const master = fields.text("sentinelMasterName");
  if (master === undefined) throw fields.wrong("sentinelMasterName", "is missing; with failover it must be there");
  const [username, password] = [fields.text("sentinelUsername"), fields.text("sentinelPassword")];
  return {
    master,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  };
}

function tlsOf(fields: Fields): RedisTls | undefined {
  const [cert, key, ca] = [fields.text("clientCert"), fields.text("clientKey"), fields.text("caCert")];
  if ((cert === undefined) !== (key === undefined)) {
    throw fields.wrong(cert === undefined ? "clientCert" : "clientKey", "is missing; the two go together");
  }
  if (!fields.flag("enableTLS")) {
    const useless = cert === undefined ? "caCert" : "clientCert";
    if ((cert ?? ca) !== undefined) throw fields.wrong(useless, "needs enableTLS: true");
    return undefined;
  }
  return {
    rejectUnauthorized: !fields.flag("insecureSkipTLSVerify"),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  };
}

const TRUE = /^(?:true|t|1|y|yes|on)$/i;
const FALSE = /^(?:false|f|0|n|no|off|)$/i;

class Fields {
  readonly #metadata: ComponentMetadata;

  constructor(metadata: ComponentMetadata) {
    this.#metadata = metadata;
  }

  wrong(field: string, what: string): Error {
    return new Error(`${this.#metadata.placeOf(field)}: metadata field ${field} ${what}`);
  }

  /** Undefined where it is empty. */
  text(field: string): string | undefined {
    const value = this.#metadata.get(field)?.trim() ?? "";
    return value === "" ? undefined : value;
  }

  /** Refuses fields that are there, and not `false`. */
  refuse(fields: readonly string[], why: string): void {
    const field = fields.find((one) => !FALSE.test(this.text(one) ?? ""));
    if (field !== undefined) throw this.wrong(field, `cannot be used: ${why}`);
  }

  flag(field: string): boolean {
    const text = this.text(field) ?? "";
    if (TRUE.test(text)) return true;
    if (FALSE.test(text)) return false;
    throw this.wrong(field, `is "${text}"; write true or false`);
  }

  integer(field: string, otherwise: number): number {
    const text = this.text(field);
    if (text === undefined) return otherwise;
    const number = Number(text);
    if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(number)) throw this.wrong(field, `is "${text}"; write a number`);
    return number;
  }

  count(field: string, otherwise: number): number {
    const number = this.integer(field, otherwise);
    if (number < 0) throw this.wrong(field, `is ${number}; it may not be below 0`);
    return number;
  }

  /** Milliseconds where there is no unit, or as Go writes a duration, or days. Below 0 is none: undefined. */
  time(field: string, otherwise: number): number | undefined {
    const text = this.text(field);
    const ms = text === undefined ? otherwise : timeOf(text);
    if (ms === undefined) throw this.wrong(field, `is "${text}"; write milliseconds, or a duration as 15s or 1m30s`);
    return ms < 0 ? undefined : Math.ceil(ms);
  }
}

function timeOf(text: string): number | undefined {
  if (/^-?\d+$/.test(text)) return Number(text);
  const days = /^(\d+)d$/.exec(text)?.[1];
  return days === undefined ? parseGoDuration(text) : Number(days) * 86_400_000;
}
