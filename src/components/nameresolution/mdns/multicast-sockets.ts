import dgram, { type RemoteInfo, type Socket } from "node:dgram";
import { networkInterfaces } from "node:os";
import { decode, encode, type Packet } from "dns-packet";
import { messageOf } from "../../../core/errors.ts";
import type { Logger } from "../../../core/logger.ts";
import { OwnNetwork } from "./own-network.ts";
import { SendQueue } from "./send-queue.ts";

/** How far a packet goes. */
export type Reach = "this-machine" | "network";

export interface PacketSource {
  readonly address: string;
  readonly port: number;
  /** Whether this machine has sent it. */
  readonly isHere: boolean;
}

/** Sends and receives mDNS packets. Trouble is logged, never thrown: multicast comes and goes with the network. */
export interface Multicast {
  /** Resolves once packets can come, or it is clear that they cannot. */
  start(onPacket: (packet: Packet, source: PacketSource) => void, onNewInterface: () => void): Promise<void>;
  send(packet: Packet, reach: Reach): Promise<void>;
  sendTo(packet: Packet, source: PacketSource): Promise<void>;
  /** May be called twice. */
  close(): Promise<void>;
}

export const MDNS_PORT = 5353;
/** How often is looked for interfaces that have come or gone. */
const LOOK_MS = 5000;
/** RFC 6762 17. */
const MAX_PACKET_BYTES = 9000;
/** RFC 6762 11: tells receivers that it has not been routed. */
const TTL = 255;

/** Of answers to those who ask alone. What goes to all is rare enough. */
const MAX_WAITING_ANSWERS = 64;

const FAMILIES = [
  { type: "udp4", family: "IPv4", group: "224.0.0.251", everywhere: "0.0.0.0" },
  { type: "udp6", family: "IPv6", group: "ff02::fb", everywhere: "::" },
] as const;

type Family = (typeof FAMILIES)[number];

/** An interface as `setMulticastInterface` and `addMembership` name it. */
interface Interface {
  readonly key: string;
  readonly isLoopback: boolean;
}

/** mDNS's port and groups on every interface of this machine, loopback included, shared with whoever else uses them. */
export class MulticastSockets implements Multicast {
  readonly #log: Logger;
  readonly #network = new OwnNetwork();
  readonly #links = FAMILIES.map((family) => new Link(family));
  #look: NodeJS.Timeout | undefined;
  #warned = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  async start(onPacket: (packet: Packet, source: PacketSource) => void, onNewInterface: () => void): Promise<void> {
    const onMessage = (message: Buffer, { address, port }: RemoteInfo): void => {
      const origin = this.#network.originOf(address);
      const packet = origin === undefined ? undefined : decoded(message);
      if (packet !== undefined) onPacket(packet, { address, port, isHere: origin === "here" });
    };
    const open = async (): Promise<boolean> => {
      this.#network.look();
      const joined = await Promise.all(this.#links.map((link) => link.open(onMessage)));
      return joined.includes(true);
    };
    await open();
    this.#tellTrouble();
    this.#look = setInterval(() => {
      void open().then((isNew) => {
        if (isNew) onNewInterface();
      });
    }, LOOK_MS);
    this.#look.unref();
  }

  async send(packet: Packet, reach: Reach): Promise<void> {
    const bytes = encode(packet);
    const sent = await Promise.all(this.#links.map((link) => link.send(bytes, reach)));
    if (sent.includes(true)) this.#warned = false;
    else this.#tellTrouble();
  }

  async sendTo(packet: Packet, { address, port }: PacketSource): Promise<void> {
    const bytes = encode(packet);
    await this.#links.find((link) => link.speaksTo(address))?.sendTo(bytes, address, port);
  }

  async close(): Promise<void> {
    clearInterval(this.#look);
    await Promise.all(this.#links.map((link) => link.close()));
  }

  /** Once, until something could be sent again. */
  #tellTrouble(): void {
    const troubles = this.#links.map((link) => link.trouble);
    if (this.#warned || troubles.includes(undefined)) return;
    this.#warned = true;
    this.#log.warn(
      "mDNS has no way to other processes: apps are not found by it until an interface with multicast is up; without one, choose the name resolution component registry or static",
      { error: [...new Set(troubles)].join("; ") },
    );
  }
}

/** mDNS over one of IPv4 and IPv6. */
class Link {
  readonly #family: Family;
  #socket: Socket | undefined;
  /** The keys of the interfaces whose group is joined. */
  readonly #joined = new Set<string>();
  /** Which interface a packet leaves by is a setting of the socket: one packet after the other. */
  readonly #sending = new SendQueue();
  /** Why nothing can be sent; undefined while it can. */
  trouble: string | undefined;
  /** Whether an interface has come since {@link open} last said so. */
  #isNew = false;
  #closed = false;

  constructor(family: Family) {
    this.#family = family;
  }

  /** Opens the socket where that has not succeeded yet, and joins what interfaces there are. @returns whether one is new. */
  async open(onMessage: (message: Buffer, from: RemoteInfo) => void): Promise<boolean> {
    try {
      const socket = this.#socket ?? (await this.#bind(onMessage));
      // It may have taken until after the end.
      if (this.#closed) {
        if (this.#socket === undefined) socket.close();
        return false;
      }
      this.#socket = socket;
      this.#join(socket);
      const isNew = this.#isNew;
      this.#isNew = false;
      return isNew;
    } catch (error) {
      this.trouble = messageOf(error);
      return false;
    }
  }

  speaksTo(address: string): boolean {
    return address.includes(":") === (this.#family.family === "IPv6");
  }

  /** @returns whether it left by one interface at least. */
  async send(bytes: Buffer, reach: Reach): Promise<boolean> {
    const socket = this.#socket;
    if (socket === undefined) return false;
    // One that has come a moment ago is as good as the others.
    this.#join(socket);
    const all = interfacesOf(this.#family).filter(({ key }) => this.#joined.has(key));
    const chosen = all.filter(({ isLoopback }) => reach === "network" || isLoopback);
    let sent = false;
    for (const { key } of chosen) {
      const error = await this.#sending.add(() => {
        socket.setMulticastInterface(key);
        return transmit(socket, bytes, MDNS_PORT, this.#family.group);
      });
      if (error === undefined) sent = true;
      else this.trouble = messageOf(error);
    }
    if (sent) this.trouble = undefined;
    else if (chosen.length === 0) this.trouble = `no ${this.#family.family} interface`;
    return sent;
  }

  async sendTo(bytes: Buffer, address: string, port: number): Promise<void> {
    const socket = this.#socket;
    if (socket === undefined) return;
    await this.#sending.addUnlessFull(MAX_WAITING_ANSWERS, () => transmit(socket, bytes, port, address));
  }

  async close(): Promise<void> {
    this.#closed = true;
    // What is on its way still goes out: it may be a goodbye.
    await this.#sending.whenEmpty();
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket !== undefined) await new Promise<void>((resolve) => socket.close(resolve));
  }

  async #bind(onMessage: (message: Buffer, from: RemoteInfo) => void): Promise<Socket> {
    const { type, everywhere } = this.#family;
    const socket = dgram.createSocket({ type, reuseAddr: true, ipv6Only: type === "udp6" });
    socket.on("message", onMessage);
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once("error", reject);
        socket.bind(MDNS_PORT, everywhere, () => {
          socket.off("error", reject);
          resolve();
        });
      });
      socket.on("error", (error) => {
        this.trouble = messageOf(error);
      });
      socket.setMulticastTTL(TTL);
      socket.setMulticastLoopback(true);
      socket.unref();
      return socket;
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  #join(socket: Socket): void {
    const present = interfacesOf(this.#family);
    let joinedOne = false;
    // An interface that was gone has to be joined anew.
    for (const key of this.#joined) if (!present.some((other) => other.key === key)) this.#joined.delete(key);
    for (const { key } of present) {
      if (this.#joined.has(key)) continue;
      try {
        socket.addMembership(this.#family.group, key);
        this.#joined.add(key);
        joinedOne = true;
      } catch (error) {
        if (this.#joined.size === 0) this.trouble = messageOf(error);
      }
    }
    if (joinedOne) {
      this.trouble = undefined;
      this.#isNew = true;
    } else if (present.length === 0) this.trouble = `no ${this.#family.family} interface`;
  }
}

function transmit(socket: Socket, bytes: Buffer, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(bytes, port, address, (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
}

/** Undefined for what is no mDNS packet: the port is open to everybody. */
export function decoded(message: Buffer): Packet | undefined {
  if (message.length > MAX_PACKET_BYTES) return undefined;
  try {
    return decode(message);
  } catch {
    return undefined;
  }
}

function interfacesOf({ family }: Family): Interface[] {
  return Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) => {
    const first = addresses.find((address) => address.family === family);
    if (first === undefined) return [];
    return [{ key: family === "IPv4" ? first.address : `::%${name}`, isLoopback: first.internal }];
  });
}
