import type { NameResolverManifest } from "../../contract/name-resolver.ts";
import { refuseConfiguration } from "../../contract/no-configuration.ts";
import { RegistryResolver } from "./registry-resolver.ts";

export const registryManifest = {
  name: "registry",
  create: (context, configuration) => {
    refuseConfiguration("registry", configuration);
    return new RegistryResolver(context);
  },
} satisfies NameResolverManifest;
