/** What LMDB and the file system say, with what can be done about it. */
export function explained(error: unknown, what: string, path: string): Error {
  const why = error instanceof Error ? error.message : String(error);
  const advice = ADVICE.find(([pattern]) => pattern.test(why))?.[1](path);
  return new Error(`${what}: ${why}${advice === undefined ? "" : `; ${advice}`}`, { cause: error });
}

const ADVICE: readonly [pattern: RegExp, advice: (path: string) => string][] = [
  [
    /ENOSPC|no space left|EDQUOT|quota/i,
    () => "the disk is full: make room, or keep less (retention and retentionBytes of the component)",
  ],
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
