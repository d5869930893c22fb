import type { NameResolverManifest } from "../../contract/name-resolver.ts";
import { StaticResolver } from "./static-resolver.ts";
import { readTable } from "./static-table.ts";

export const staticManifest = {
  name: "static",
  create: (context, configuration) => new StaticResolver(readTable(configuration), context),
} satisfies NameResolverManifest;
