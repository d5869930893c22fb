import { lookup } from "node:dns/promises";
import type { Packet, Question } from "dns-packet";
import { type AppIdentity, qualifiedName, sameApp } from "../../../core/app-id.ts";
import { CallAbort } from "../../../core/call-signal.ts";
import { messageOf, SetupError } from "../../../core/errors.ts";
import type { Announcement, AppInstance, NameResolver, NameResolverContext } from "../../contract/name-resolver.ts";
import { MDNS_PORT, type Multicast, type PacketSource, type Reach } from "./multicast-sockets.ts";
import {
  type AnnouncedService,
  type Asked,
  announcement,
  answerWith,
  askedOf,
  browseQuery,
  type FoundService,
  type GoneService,
  goodbye,
  hostNameOf,
  instanceNameOf,
  isLoopback,
  MAX_LABEL_BYTES,
  readResponse,
} from "./records.ts";

// How long is waited for a first answer: daprd's second (A5), and a margin, for who has just answered others answers again
// a second later.
const BROWSE_MS = 1100;
// daprd's: how often is asked again, how long an answer counts.
const REFRESH_MS = 30_000;
const ADDRESS_LIFE_MS = 60_000;
// RFC 6762 8.3: what is announced is announced once more, for packets get lost.
const SECOND_ANNOUNCEMENT_MS = 1000;
// RFC 6762 6: no record is multicast twice within a second, whoever asks how often.
const ANSWER_INTERVAL_MS = 1000;
// Others hear the goodbye within milliseconds. A daprd asks again within half a minute, which nobody is kept waiting for.
const STALE_MS = 1000;
// Anybody on the network may announce anything: what is kept of it has bounds.
const MAX_INSTANCES = 256;

/** Which process this is, for the names of what it announces. */
export interface ProcessName {
  readonly hostname: string;
  readonly pid: number;
}

interface OwnInstance {
  readonly instance: AppInstance;
  readonly service: AnnouncedService;
  readonly reach: Reach;
  second: NodeJS.Timeout | undefined;
  /** Of the monotonic clock: before it, nothing is answered to all. */
  answerAfter: number;
  /** What is answered to all then. */
  readonly unanswered: Set<Asked>;
}

interface CachedService {
  readonly service: FoundService;
  readonly expiresAt: number;
}

/** What is known of one app id, in whatever namespace. */
interface KnownApp {
  /** By address and port, as daprd keeps them. */
  readonly services: Map<string, CachedService>;
  /** Called with each answer. */
  readonly waiting: Set<() => void>;
}

interface AnswerList {
  readonly instances: readonly AppInstance[];
  /** When the first of them expires. */
  readonly until: number;
}

/** Announces and finds apps as daprd does by default on a machine of its own: by multicast DNS. */
export class MdnsResolver implements NameResolver {
  readonly description = "the answers to mDNS on this network";
  readonly staleMs = STALE_MS;
  readonly worthAskingAgain = false;
  readonly #context: NameResolverContext;
  readonly #multicast: Multicast;
  readonly #process: ProcessName;
  readonly #own = new Map<string, OwnInstance>();
  readonly #apps = new Map<string, KnownApp>();
  /** By qualified name; made anew when something has changed. */
  readonly #lists = new Map<string, AnswerList>();
  readonly #browses = new Map<string, Promise<void>>();
  readonly #closing = new CallAbort();
  #refresh: NodeJS.Timeout | undefined;

  constructor(context: NameResolverContext, multicast: Multicast, process: ProcessName) {
    this.#context = context;
    this.#multicast = multicast;
    this.#process = process;
  }

  async start(): Promise<void> {
    await this.#multicast.start(
      (packet, source) => {
        if (packet.type === "query") this.#answer(packet, source);
        else this.#learn(packet, source);
      },
      () => {
        for (const own of this.#own.values()) void this.#multicast.send(announcement(own.service), own.reach);
      },
    );
    this.#refresh = setInterval(() => {
      this.#askAgain();
    }, REFRESH_MS);
    this.#refresh.unref();
  }

  /** @throws {SetupError} where mDNS has no name for the app, or the host no address. */
  async announce(instance: AppInstance): Promise<Announcement> {
    const service = await this.#serviceOf(instance);
    const reach = isLoopback(service.address) ? "this-machine" : "network";
    const own: OwnInstance = { instance, service, reach, second: undefined, answerAfter: 0, unanswered: new Set() };
    this.#own.set(service.name, own);
    this.#lists.clear();
    await this.#multicast.send(announcement(service), reach);
    own.second = setTimeout(() => void this.#multicast.send(announcement(service), reach), SECOND_ANNOUNCEMENT_MS);
    own.second.unref();
    this.#context.log.info("announced by mDNS", { name: service.name, address: service.address, port: service.port });
    return { withdraw: () => this.#withdraw(own) };
  }

  resolve(app: AppIdentity): Promise<readonly AppInstance[]> {
    const known = this.#known(app);
    return known.length > 0 ? Promise.resolve(known) : this.#browse(app);
  }

  reportUnreachable(instance: AppInstance): void {
    if (this.#apps.get(instance.app.id)?.services.delete(addressKey(instance)) === true) this.#lists.clear();
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error("the name resolver is closed"));
    clearInterval(this.#refresh);
    for (const own of [...this.#own.values()]) await this.#withdraw(own);
    await this.#multicast.close();
  }

  async #withdraw(own: OwnInstance): Promise<void> {
    clearTimeout(own.second);
    if (this.#own.get(own.service.name) !== own) return;
    this.#own.delete(own.service.name);
    this.#lists.clear();
    await this.#multicast.send(goodbye(own.service), own.reach);
  }

  async #serviceOf({ app, instanceId, host, port }: AppInstance): Promise<AnnouncedService> {
    if (app.id.length > MAX_LABEL_BYTES) {
      throw new SetupError(
        `mDNS has no room for the app id ${app.id}: it may have ${MAX_LABEL_BYTES} characters; give the app a shorter one, or choose the name resolution component registry or static`,
      );
    }
    const hostname = shortened(this.#process.hostname);
    const label = `${hostname}:${this.#process.pid}`;
    const usual = instanceNameOf(label, app.id);
    return {
      appId: app.id,
      // Two Sidecars of one process may have one id, in different namespaces.
      name: this.#own.has(usual) ? instanceNameOf(`${label}:${port}`, app.id) : usual,
      target: hostNameOf(hostname),
      address: await addressOf(host),
      port,
      outrigger: { namespace: app.namespace, instanceId },
    };
  }

  #known(app: AppIdentity): readonly AppInstance[] {
    const key = qualifiedName(app);
    const now = this.#context.clock.monotonic();
    const list = this.#lists.get(key);
    if (list !== undefined && now < list.until) return list.instances;
    const made = this.#listOf(app, now);
    // An app that nobody knows is not remembered: it may start any moment.
    if (made.instances.length > 0) this.#lists.set(key, made);
    else this.#lists.delete(key);
    return made.instances;
  }

  #listOf(app: AppIdentity, now: number): AnswerList {
    const own = [...this.#own.values()].map(({ instance }) => instance).filter((other) => sameApp(other.app, app));
    const heard = [...(this.#apps.get(app.id)?.services.values() ?? [])].filter(({ expiresAt }) => expiresAt > now);
    const outriggers = heard.filter(({ service }) => service.outrigger?.namespace === app.namespace);
    // A daprd does not say its namespace: only where there is nobody else.
    const daprds = heard.filter(({ service }) => service.outrigger === undefined);
    const others = own.length + outriggers.length > 0 ? outriggers : daprds;
    return {
      instances: [...own, ...others.map(({ service }) => toInstance(app, service))],
      until: Math.min(...others.map(({ expiresAt }) => expiresAt)),
    };
  }

  /** Asks, and waits for the first Outrigger that answers, a little over a second at most. */
  async #browse(app: AppIdentity): Promise<readonly AppInstance[]> {
    // One of this process that is announced by other means is called without asking anybody.
    if (app.id.length > MAX_LABEL_BYTES || this.#context.hosts(app)) return [];
    const key = qualifiedName(app);
    let browse = this.#browses.get(key);
    if (browse === undefined) {
      browse = this.#askFor(app).finally(() => this.#browses.delete(key));
      this.#browses.set(key, browse);
    }
    await browse;
    return this.#known(app);
  }

  async #askFor(app: AppIdentity): Promise<void> {
    const { clock } = this.#context;
    const known = this.#knownApp(app.id);
    const patience = new CallAbort();
    const stop = (): void => {
      patience.abort(new Error("the wait is over"));
    };
    const closed = { handleEvent: stop };
    const look = (): void => {
      if (this.#known(app).some(({ wire }) => wire !== "daprd")) stop();
    };
    known.waiting.add(look);
    this.#closing.addEventListener("abort", closed);
    try {
      await this.#multicast.send(browseQuery(app.id), "network");
      await clock.sleep(BROWSE_MS, patience).catch(() => undefined);
    } finally {
      known.waiting.delete(look);
      this.#closing.removeEventListener("abort", closed);
      this.#forgetIfIdle(app.id, known);
    }
  }

  #knownApp(appId: string): KnownApp {
    let known = this.#apps.get(appId);
    if (known === undefined) {
      known = { services: new Map(), waiting: new Set() };
      this.#apps.set(appId, known);
    }
    return known;
  }

  #forgetIfIdle(appId: string, { services, waiting }: KnownApp): void {
    if (services.size === 0 && waiting.size === 0) this.#apps.delete(appId);
  }

  /** Every app that is called is asked for again, before what is known of it expires. */
  #askAgain(): void {
    const now = this.#context.clock.monotonic();
    for (const [appId, known] of this.#apps) {
      for (const [key, { expiresAt }] of known.services) if (expiresAt <= now) known.services.delete(key);
      this.#forgetIfIdle(appId, known);
      if (known.services.size > 0) void this.#multicast.send(browseQuery(appId), "network");
    }
  }

  /** Also what was announced unasked, or answered to others: of the apps that are called here. */
  #learn(packet: Packet, { isHere }: PacketSource): void {
    if (this.#apps.size === 0) return;
    const { found, gone } = readResponse(packet, isHere, (appId) => this.#apps.has(appId));
    if (found.length + gone.length === 0) return;
    for (const service of found) this.#remember(service);
    if (gone.length > 0) this.#forget(gone);
    this.#lists.clear();
    for (const appId of new Set(found.map((service) => service.appId))) {
      for (const look of this.#apps.get(appId)?.waiting ?? []) look();
    }
  }

  #remember(service: FoundService): void {
    const known = this.#apps.get(service.appId);
    if (known === undefined || this.#isOwn(service)) return;
    const key = addressKey(service);
    // Set anew, so that what was heard of longest ago stands first.
    known.services.delete(key);
    if (known.services.size >= MAX_INSTANCES && !makeRoom(known.services, service)) return;
    known.services.set(key, { service, expiresAt: this.#context.clock.monotonic() + ADDRESS_LIFE_MS });
  }

  #forget(gone: readonly GoneService[]): void {
    const leaving = new Set(gone.map(({ name, port }) => leaveKey(name, port)));
    for (const { services } of this.#apps.values()) {
      for (const [key, { service }] of services) {
        const { name, port } = service;
        if (leaving.has(leaveKey(name, port)) || leaving.has(leaveKey(name, undefined))) services.delete(key);
      }
    }
  }

  #isOwn({ outrigger }: FoundService): boolean {
    return [...this.#own.values()].some(({ instance }) => instance.instanceId === outrigger?.instanceId);
  }

  #answer(query: Packet, source: PacketSource): void {
    for (const own of this.#own.values()) {
      // A loopback address is of no use to other machines.
      if (own.reach === "this-machine" && !source.isHere) continue;
      const asked = askedOf(query, own.service);
      if (asked.size === 0) continue;
      if (source.port === MDNS_PORT) this.#answerAll(own, asked.keys());
      else this.#answerOne(own, asked, query.id, source);
    }
  }

  /** RFC 6762 6.7: whoever asks from another port wants an answer as DNS gives it, `dig` for one. */
  #answerOne(own: OwnInstance, asked: ReadonlyMap<Asked, Question>, id = 0, source: PacketSource): void {
    const answer = answerWith(new Set(asked.keys()), own.service);
    void this.#multicast.sendTo({ ...answer, id, questions: [...asked.values()] }, source).catch(this.#tell);
  }

  /** At once, or once the second is over that the last answer began: whoever asks waits that long. */
  #answerAll(own: OwnInstance, asked: Iterable<Asked>): void {
    const isWaiting = own.unanswered.size > 0;
    for (const each of asked) own.unanswered.add(each);
    if (isWaiting) return;
    const { clock } = this.#context;
    const early = own.answerAfter - clock.monotonic();
    if (early <= 0) this.#sendAnswer(own);
    else {
      const send = (): void => {
        this.#sendAnswer(own);
      };
      // Who is closing has nothing to say any more.
      void clock.sleep(early, this.#closing).then(send, () => undefined);
    }
  }

  #sendAnswer(own: OwnInstance): void {
    const answer = answerWith(own.unanswered, own.service);
    own.unanswered.clear();
    // It may have been withdrawn meanwhile.
    if (this.#own.get(own.service.name) !== own) return;
    own.answerAfter = this.#context.clock.monotonic() + ANSWER_INTERVAL_MS;
    void this.#multicast.send(answer, own.reach).catch(this.#tell);
  }

  readonly #tell = (error: unknown): void => {
    this.#context.log.debug("an mDNS query could not be answered", { error: messageOf(error) });
  };
}

/** A label of DNS has 63 bytes, and the pid needs a few of the last one. */
function shortened(hostname: string): string {
  return hostname
    .split(".")
    .map((label) => label.slice(0, MAX_LABEL_BYTES - 20))
    .join(".");
}

/** Also of a name such as `localhost`, which `--dapr-internal-grpc-listen-address` may be. */
async function addressOf(host: string): Promise<string> {
  try {
    return (await lookup(host)).address;
  } catch (cause) {
    throw new SetupError(
      `mDNS announces addresses, and ${host} leads to none: ${messageOf(cause)}; set DAPR_HOST_IP to the address by which others reach this host`,
      { cause },
    );
  }
}

/** What is no Outrigger goes before what is one, and what was heard of longest ago first. @returns whether there is room. */
function makeRoom(services: Map<string, CachedService>, newcomer: FoundService): boolean {
  const [oldest] = services.keys();
  const unmarked = [...services].find(([, { service }]) => service.outrigger === undefined)?.[0];
  const leaving = unmarked ?? (newcomer.outrigger === undefined ? undefined : oldest);
  return leaving !== undefined && services.delete(leaving);
}

/** @param port undefined for all under that name. */
function leaveKey(name: string, port: number | undefined): string {
  return `${port ?? "*"} ${name}`;
}

function addressKey({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${host} ${port}`;
}

/** What was announced up to a minute ago may be somebody else's address by now. */
function toInstance(app: AppIdentity, { host, port, name, outrigger }: FoundService): AppInstance {
  const instanceId = outrigger?.instanceId ?? `${name} ${host} ${port}`;
  return { app, instanceId, host, port, wire: outrigger === undefined ? "daprd" : "unproven" };
}
