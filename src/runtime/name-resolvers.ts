import type { NameResolver, NameResolverContext, NameResolverEntry } from "../components/contract/name-resolver.ts";
import { standardNameResolvers } from "../components/standard.ts";
import { SetupError } from "../core/errors.ts";
import { nearestName } from "../core/nearest-name.ts";
import type { NameResolution } from "../resources/configuration.ts";

const DEFAULT_RESOLVER = "registry";

// Dapr's own that are not built yet. Whoever asks for one relies on it, so it is no unknown word.
const DAPRS_OTHERS = ["aws.cloudmap", "consul", "kubernetes", "nameformat", "sqlite"];

/**
 * The name resolvers of one process: each component with each configuration once, made and started when the first Sidecar
 * asks for it, and shared by all that ask for the same.
 */
export class NameResolvers {
  readonly #context: NameResolverContext;
  readonly #resolvers = new Map<string, Promise<NameResolver>>();

  constructor(context: NameResolverContext) {
    this.#context = context;
  }

  /**
   * @param spec undefined for the default.
   * @throws {SetupError} naming file and line, where there is no such component or its configuration is not one.
   * @throws {Error} where it cannot start.
   */
  get(spec: NameResolution | undefined): Promise<NameResolver> {
    const entry = entryOf(spec);
    const key = JSON.stringify([entry.name, spec?.configuration.value]);
    let resolver = this.#resolvers.get(key);
    if (resolver === undefined) {
      resolver = this.#start(entry, spec);
      this.#resolvers.set(key, resolver);
    }
    return resolver;
  }

  /** May be called twice. */
  async close(): Promise<void> {
    const started = await Promise.allSettled(this.#resolvers.values());
    for (const result of started) if (result.status === "fulfilled") await result.value.close();
  }

  async #start(entry: NameResolverEntry, spec: NameResolution | undefined): Promise<NameResolver> {
    const manifest = await entry.load();
    const resolver = manifest.create(this.#context, spec?.configuration);
    try {
      await resolver.start();
    } catch (error) {
      await resolver.close();
      throw error;
    }
    return resolver;
  }
}

/** daprd takes names in any case, and knows of each component the version v1. */
function entryOf(spec: NameResolution | undefined): NameResolverEntry {
  const asked = spec?.component ?? DEFAULT_RESOLVER;
  const name = asked.toLowerCase();
  const entry = standardNameResolvers.find((candidate) => candidate.name === name);
  if (entry === undefined) throw unknownComponent(asked, spec?.placeOf("component") ?? "");
  const version = spec?.version ?? "";
  if (version !== "" && version.toLowerCase() !== "v1") {
    throw new SetupError(
      `${spec?.placeOf("version") ?? ""}: spec.nameResolution.version is "${version}", and there is only v1 of ${entry.name}; leave it out`,
    );
  }
  return entry;
}

function unknownComponent(asked: string, place: string): SetupError {
  const known = standardNameResolvers.map(({ name }) => name);
  const choice = `the components are ${known.join(", ")}`;
  if (DAPRS_OTHERS.includes(asked.toLowerCase())) {
    return new SetupError(
      `${place}: spec.nameResolution.component "${asked}" is one of Dapr's that this version of Outrigger does not have; ${choice}`,
    );
  }
  const near = nearestName(asked, known);
  const hint = near === undefined ? "" : `; did you mean "${near}"?`;
  return new SetupError(`${place}: there is no name resolution component "${asked}"; ${choice}${hint}`);
}
