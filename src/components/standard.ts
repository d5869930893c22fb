import type { NameResolverManifest } from "./contract/name-resolver.ts";
import { registryManifest } from "./nameresolution/registry/manifest.ts";

/** Every component that comes with Outrigger. To add one: write its folder, add its manifest here. */
export const standardNameResolvers: readonly NameResolverManifest[] = [registryManifest];
