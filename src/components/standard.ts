import type { NameResolverEntry } from "./contract/name-resolver.ts";

/** Every component that comes with Outrigger. To add one: write its folder, add its name and the way to its manifest here. */
export const standardNameResolvers: readonly NameResolverEntry[] = [
  { name: "registry", load: async () => (await import("./nameresolution/registry/manifest.ts")).registryManifest },
  { name: "mdns", load: async () => (await import("./nameresolution/mdns/manifest.ts")).mdnsManifest },
  { name: "static", load: async () => (await import("./nameresolution/static/manifest.ts")).staticManifest },
];
