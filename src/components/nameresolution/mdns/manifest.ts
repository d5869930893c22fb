import { hostname } from "node:os";
import type { NameResolverManifest } from "../../contract/name-resolver.ts";
import { refuseConfiguration } from "../../contract/no-configuration.ts";
import { MdnsResolver } from "./mdns-resolver.ts";
import { MulticastSockets } from "./multicast-sockets.ts";

export const mdnsManifest = {
  name: "mdns",
  create: (context, configuration) => {
    refuseConfiguration("mdns", configuration);
    const process_ = { hostname: hostname(), pid: process.pid };
    return new MdnsResolver(context, new MulticastSockets(context.log), process_);
  },
} satisfies NameResolverManifest;
