import { BlockList } from "node:net";
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";

/** Where a packet comes from: this machine, or another one on a link of it. */
export type Origin = "here" | "link";

/** The addresses and subnets of this machine, as they were when {@link look} was last called. */
export class OwnNetwork {
  readonly #interfaces: () => NodeJS.Dict<NetworkInterfaceInfo[]>;
  #addresses = new Set<string>();
  #subnets = { IPv4: new BlockList(), IPv6: new BlockList() };

  constructor(interfaces = networkInterfaces) {
    this.#interfaces = interfaces;
  }

  /** Asking the system takes too long to do it for each packet. */
  look(): void {
    const all = Object.values(this.#interfaces()).flatMap((addresses) => addresses ?? []);
    this.#addresses = new Set(all.map(({ address }) => address));
    // One for each family: in a list of both, a subnet of IPv6 may hold addresses of IPv4.
    const subnets = { IPv4: new BlockList(), IPv6: new BlockList() };
    for (const { address, cidr, family } of all) {
      const prefix = Number(cidr?.split("/")[1] ?? Number.NaN);
      if (Number.isInteger(prefix)) subnets[family].addSubnet(address, prefix, family === "IPv4" ? "ipv4" : "ipv6");
    }
    this.#subnets = subnets;
  }

  /** @returns undefined for an address of no own subnet: the packet was routed, which mDNS never is (RFC 6762 11). */
  originOf(source: string): Origin | undefined {
    const address = source.split("%", 1)[0] ?? source;
    if (this.#addresses.has(address)) return "here";
    const isNear = address.includes(":")
      ? this.#subnets.IPv6.check(address, "ipv6")
      : this.#subnets.IPv4.check(address, "ipv4");
    return isNear ? "link" : undefined;
  }
}
