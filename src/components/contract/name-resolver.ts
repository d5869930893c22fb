import type { AppIdentity } from "../../core/app-id.ts";
import type { Clock } from "../../core/clock.ts";
import type { Logger } from "../../core/logger.ts";

/** One running copy of an app, and where its sidecar takes calls from other sidecars. */
export interface AppInstance {
  readonly app: AppIdentity;
  /** Tells copies of one app apart; unique in time as well, so that it is never mistaken for an earlier one. */
  readonly instanceId: string;
  readonly host: string;
  /** The internal port (`--dapr-internal-grpc-port`). */
  readonly port: number;
  readonly wire: PeerWire;
}

/**
 * How to talk to an instance. `lean`: it is an Outrigger, and its process lives. `unproven`: an address that somebody
 * else may have by now, or has always had; it is called in daprd's form, and `lean` is spoken once what answers has proved
 * that it is the Outrigger of that app. `daprd`: it speaks daprd's own form and no other.
 */
export type PeerWire = "lean" | "unproven" | "daprd";

/**
 * Finds the running instances of an app (Dapr's building block "name resolution").
 *
 * Creating one does nothing; `start` may fail; `close` may be called twice and after a failed `start`.
 */
export interface NameResolver {
  /** Where this resolver looks, for error texts: "the registry at /home/me/.outrigger/registry". */
  readonly description: string;
  /** For how long callers elsewhere may still be given an instance that has been withdrawn. */
  readonly staleMs: number;
  /** Whether an app that was not found may be there a moment later; false where `resolve` has waited itself, or nothing changes. */
  readonly worthAskingAgain: boolean;
  start(): Promise<void>;
  /**
   * Makes an instance of this process findable until it is withdrawn.
   *
   * @throws {SetupError} where it cannot be, and that is the user's to mend.
   */
  announce(instance: AppInstance): Promise<Announcement>;
  /** Every instance believed to be alive; empty where the app is unknown. The list is not to be changed. */
  resolve(app: AppIdentity): Promise<readonly AppInstance[]>;
  /** A call could not reach `instance`: look again before giving it out next time. */
  reportUnreachable(instance: AppInstance): void;
  close(): Promise<void>;
}

export interface Announcement {
  /** May be called twice. */
  withdraw(): Promise<void>;
}

/** What a resolver may ask of the process it works in. */
export interface NameResolverContext {
  readonly registry: InstanceRegistry;
  /** Whether the process itself runs the app: then nobody need be waited for. */
  hosts(app: AppIdentity): boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The instances that run under one home directory, whatever resolves the calls to them. */
export interface InstanceRegistry {
  /** Where it is: "the registry at /home/me/.outrigger/registry". */
  readonly description: string;
  /** Those whose process lives. Reads the disk. */
  instancesOf(app: AppIdentity): readonly AppInstance[];
}

/** `spec.nameResolution.configuration` as a file has it, for the component to check. */
export interface NameResolverConfiguration {
  readonly file: string;
  /** Where in its document it stands: `["spec", "nameResolution", "configuration"]`. */
  readonly path: readonly PropertyKey[];
  /** Undefined where there is none. */
  readonly value: unknown;
  /** The line on which the field at `path` below it stands, counted from 1. */
  lineOf(path: readonly PropertyKey[]): number;
}

/** What a folder under components/nameresolution/ exports, checked there with `satisfies`. */
export interface NameResolverManifest {
  /** As `spec.nameResolution.component` in a Configuration names it. */
  readonly name: string;
  /**
   * @param configuration undefined where no Configuration chooses the component.
   * @throws {SetupError} naming file, line and field, where it is not one for this component.
   */
  create(context: NameResolverContext, configuration: NameResolverConfiguration | undefined): NameResolver;
}

/** A name resolver that can be had: its name costs nothing, its module and what that imports are loaded when it is used. */
export interface NameResolverEntry {
  readonly name: string;
  load(): Promise<NameResolverManifest>;
}
