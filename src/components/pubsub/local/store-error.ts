import { statfsSync } from "node:fs";

/** What LMDB and the file system say, with what can be done about it. */
export function explained(error: unknown, what: string, path: string): Error {
  const said = error instanceof Error ? error.message : String(error);
  const why = isDiskFull(said, path) ? `the disk is full (${said})` : said;
  const advice = ADVICE.find(([pattern]) => pattern.test(why))?.[1](path);
  return new Error(`${what}: ${why}${advice === undefined ? "" : `; ${advice}`}`, { cause: error });
}

// A transaction that did not fit writes less than this, so the disk may not be full to its last byte.
const NEARLY_FULL_BYTES = 16 * 1024 ** 2;

/** LMDB calls it an I/O error where a write was cut short. */
function isDiskFull(said: string, path: string): boolean {
  if (/ENOSPC|no space left|EDQUOT|quota/i.test(said)) return true;
  if (!/input\/output error/i.test(said)) return false;
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize < NEARLY_FULL_BYTES;
  } catch {
    return false;
  }
}

const ADVICE: readonly [pattern: RegExp, advice: (path: string) => string][] = [
  [/the disk is full/, () => "make room, or keep less (retention and retentionBytes of the component)"],
  [
    /EACCES|EPERM|EROFS|permission denied|read-only|not permitted/i,
    (path) => `let this user write to ${path}, or set OUTRIGGER_HOME to another directory`,
  ],
  [
    /MDB_PANIC|Invalid argument/,
    () => "the store failed before this; end the processes that use it, and start them again",
  ],
  [
    /MDB_CORRUPTED|MDB_INVALID|MDB_PAGE_NOTFOUND|MDB_VERSION_MISMATCH|the store is damaged/,
    (path) => `end the processes that use it, move it aside ("mv ${path} ${path}.damaged"), and start them again`,
  ],
];
