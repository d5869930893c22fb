import { linkSync, readFileSync, rmSync, statSync, unlinkSync } from "node:fs";
import { endianness } from "node:os";
import { join } from "node:path";

/**
 * LMDB maps its file and believes what stands in it: one that is cut short or overwritten ends the process with SIGBUS or
 * SIGSEGV, which nobody can catch. So the file is looked at before it is opened. The layout is that of lmdb-js 3
 * (liblmdb's mdb.c: MDB_page_header, MDB_meta, MDB_node) on 64-bit little-endian machines; elsewhere nothing is judged.
 */

const IS_KNOWN_LAYOUT = endianness() === "LE" && ["x64", "arm64"].includes(process.arch);

const MAGIC = 0xbeefc0de;
const VERSION = 2;
// Offsets in a page, and in the two that hold the metas.
const PAGE = { number: 0, flags: 18, lower: 20, overflowPages: 20, header: 24 } as const;
const META = { magic: 24, version: 28, pageSize: 48, freeRoot: 88, mainRoot: 136, transaction: 152, end: 168 } as const;
const NODE = { pageLow: 0, flags: 4, keySize: 6, header: 8 } as const;
const KINDS = 0x0f;
const BRANCH = 0x01;
const LEAF = 0x02;
const OVERFLOW = 0x04;
const NODE_IS_ON_OVERFLOW = 0x01;
const NO_ROOT = 0xffff_ffff_ffff_ffffn;

/** What one look at the file says. */
interface Verdict {
  /** Undefined where LMDB can open it. */
  readonly damage: string | undefined;
  /** Of the last transaction; undefined where that cannot be told. */
  readonly transaction: bigint | undefined;
}

export interface SetAside {
  readonly damage: string;
  /** Where the damaged file is now. */
  readonly path: string;
}

// A file that another process is making, or writes while it is read, looks damaged for a moment.
const LOOKS = 5;
const BETWEEN_LOOKS_MS = 20;

/**
 * Moves a damaged registry in `folder` out of the way, so that a new one can be made.
 *
 * @returns what was moved; undefined where there was no need. @throws what reading the file throws.
 */
export function setAsideDamaged(folder: string): SetAside | undefined {
  const file = join(folder, "data.mdb");
  for (;;) {
    const before = statSync(file, { throwIfNoEntry: false });
    // LMDB makes what is missing, and takes an empty file for one that is being made.
    if (before === undefined || before.size === 0 || !IS_KNOWN_LAYOUT) return undefined;
    const damage = lastingDamage(file);
    if (damage === undefined) return undefined;
    // The name is the same for all who find the damage, and a link is made by one of them alone.
    const path = `${file}.damaged-${before.mtime.toISOString().replaceAll(":", "-")}`;
    if (!linkOnce(file, path)) {
      pause();
      continue;
    }
    if (statSync(path).ino !== before.ino) {
      // Somebody else had it out of the way already, and this is the new one.
      unlinkSync(path);
      continue;
    }
    // The locks first: whoever finds the file gone starts with new ones, apart from who still has the damaged one open.
    rmSync(join(folder, "lock.mdb"), { force: true });
    unlinkSync(file);
    return { damage, path };
  }
}

/** False where the name is taken, or the file is gone: somebody else sets it aside. */
function linkOnce(file: string, path: string): boolean {
  try {
    linkSync(file, path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" || code === "ENOENT") return false;
    throw error;
  }
}

/** Damage that every one of several looks sees. A file whose transactions go on meanwhile is in use, and well. */
function lastingDamage(file: string): string | undefined {
  const first = look(file);
  let last = first;
  for (let looks = 1; looks < LOOKS && last.damage !== undefined; looks++) {
    pause();
    last = look(file);
    if (last.transaction !== first.transaction) return undefined;
  }
  return last.damage;
}

function look(file: string): Verdict {
  try {
    return judge(readFileSync(file));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { damage: undefined, transaction: undefined };
    throw error;
  }
}

function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BETWEEN_LOOKS_MS);
}

/** Whether LMDB can open a file with these contents. */
function judge(data: Buffer): Verdict {
  const unreadable = (damage: string): Verdict => ({ damage, transaction: undefined });
  if (data.length === 0) return { damage: undefined, transaction: undefined };
  if (data.length < META.end || !isMeta(data)) return unreadable("it does not begin as an LMDB file does");
  const pageSize = data.readUInt32LE(META.pageSize);
  if (pageSize < 256 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0) {
    return unreadable(`its page size is ${pageSize}`);
  }
  if (data.length < 2 * pageSize) return unreadable(`it is cut off after ${data.length} bytes`);
  const metas = [data, data.subarray(pageSize)] as const;
  if (!isMeta(metas[1])) return unreadable("its second page is not LMDB's");
  const [one, two] = metas.map((meta) => meta.readBigUInt64LE(META.transaction)) as [bigint, bigint];
  const meta = two > one ? metas[1] : metas[0];
  const roots = [META.freeRoot, META.mainRoot].map((at) => meta.readBigUInt64LE(at)).filter((root) => root !== NO_ROOT);
  const page = brokenPage(data, pageSize, roots.map(Number));
  const damage = page === undefined ? undefined : `its page ${page} is missing or overwritten`;
  return { damage, transaction: two > one ? two : one };
}

function isMeta(page: Buffer): boolean {
  return page.readUInt32LE(META.magic) === MAGIC && (page.readUInt32LE(META.version) & 0xffff) === VERSION;
}

/** Follows the trees. Not by the last page the meta names: pages at the end that nobody uses may never be written. */
function brokenPage(data: Buffer, pageSize: number, roots: readonly number[]): number | undefined {
  const left = [...roots];
  const seen = new Set<number>();
  for (let number = left.pop(); number !== undefined; number = left.pop()) {
    const page = data.subarray(number * pageSize, (number + 1) * pageSize);
    if (seen.has(number) || page.length < pageSize || page.readBigUInt64LE(PAGE.number) !== BigInt(number))
      return number;
    seen.add(number);
    const kind = page.readUInt16LE(PAGE.flags) & KINDS;
    const under = kind === BRANCH || kind === LEAF ? pagesUnder(page, kind) : undefined;
    if (under === undefined) {
      const isWhole = kind === OVERFLOW && endOfOverflow(page, number) * pageSize <= data.length;
      if (!isWhole) return number;
    } else {
      left.push(...under);
    }
  }
  return undefined;
}

function endOfOverflow(page: Buffer, number: number): number {
  return number + page.readUInt32LE(PAGE.overflowPages);
}

/** The pages that the nodes of this one lead to; undefined where a node does not lie in it. */
function pagesUnder(page: Buffer, kind: number): number[] | undefined {
  const pages: number[] = [];
  const pointersEnd = PAGE.header + page.readUInt16LE(PAGE.lower);
  if (pointersEnd > page.length) return undefined;
  for (let at = PAGE.header; at < pointersEnd; at += 2) {
    const node = page.subarray(PAGE.header + page.readUInt16LE(at));
    if (node.length < NODE.header) return undefined;
    if (kind === BRANCH) {
      pages.push(node.readUIntLE(NODE.pageLow, 6));
    } else if ((node.readUInt16LE(NODE.flags) & NODE_IS_ON_OVERFLOW) !== 0) {
      const data = NODE.header + node.readUInt16LE(NODE.keySize);
      if (node.length < data + 8) return undefined;
      pages.push(Number(node.readBigUInt64LE(data)));
    }
  }
  return pages;
}
