import { createRequire } from "node:module";
import type { Database, RootDatabase } from "lmdb";

/** Keys and values are bytes, as everywhere in this folder. */
export type Table = Database<Buffer, Buffer>;
export type Environment = RootDatabase<Buffer, Buffer>;

export interface EnvironmentOptions {
  readonly path: string;
  /** Address space, not memory. What does not fit makes it larger, in every process that has it open. */
  readonly mapBytes: number;
  /** Whether a transaction is on disk once it is over. */
  readonly isDurable: boolean;
}

// One for each thread of each process that reads.
const MAX_READERS = 1024;
const BYTES = { encoding: "binary", keyEncoding: "binary" } as const;

// Required, not imported: lmdb's CommonJS form is one file and loads 15 ms sooner than its many modules.
const { open } = createRequire(import.meta.url)("lmdb") as typeof import("lmdb");

/**
 * Transactions are made with `transactionSync` alone: the others wait in a thread of lmdb's, where some failures are never
 * told to whoever waits, and leave a lock behind. Without overlapping syncs, such a transaction is on disk when it returns.
 */
export function openEnvironment({ path, mapBytes, isDurable }: EnvironmentOptions): Environment {
  return open<Buffer, Buffer>({
    path,
    mapSize: mapBytes,
    maxReaders: MAX_READERS,
    maxDbs: 8,
    overlappingSync: false,
    noSync: !isDurable,
    ...BYTES,
  });
}

/** The environment is closed again where one of its tables cannot be opened. @throws what LMDB says. */
export function openTables<Name extends string>(
  options: EnvironmentOptions,
  names: readonly Name[],
): { readonly environment: Environment; readonly tables: Readonly<Record<Name, Table>> } {
  const environment = openEnvironment(options);
  try {
    const tables = names.map((name) => [name, openTable(environment, name)] as const);
    return { environment, tables: Object.fromEntries(tables) as Record<Name, Table> };
  } catch (error) {
    void environment.close();
    throw error;
  }
}

export function openTable(environment: Environment, name: string): Table {
  return environment.openDB<Buffer, Buffer>({ name, ...BYTES });
}
