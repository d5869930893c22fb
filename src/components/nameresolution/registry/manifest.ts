import type { NameResolverManifest } from "../../contract/name-resolver.ts";
import { RegistryResolver } from "./registry-resolver.ts";

export const registryManifest = {
  name: "registry",
  create: (context) => new RegistryResolver(context),
} satisfies NameResolverManifest;
