export interface Import {
  /** The importing file, relative to src/, with forward slashes. */
  readonly from: string;
  /** As written in the source. */
  readonly specifier: string;
  /** Erased by the compiler: `import type`, `export type … from`, `import("…")` in a type. */
  readonly typeOnly: boolean;
}

export interface Folder {
  /** The key in walls.json. */
  readonly wall: string;
  /** The folder itself, relative to src/. */
  readonly path: string;
}

export const walls: {
  readonly mayImport: Readonly<Record<string, readonly string[]>>;
  readonly programs: readonly string[];
  readonly nodeModulesAllowedIn: Readonly<Record<string, readonly string[]>>;
};
export function folderOf(path: string): Folder | undefined;
export function brokenWall(edge: Import): string | undefined;
