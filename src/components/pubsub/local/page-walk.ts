import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/**
 * Reads an LMDB file page by page, as a file, and believes nothing in it: LMDB itself maps the file, and ends the process where
 * pages are missing or lead astray. The layout is that of lmdb-js 3 (liblmdb's mdb.c: MDB_page_header, MDB_meta, MDB_db, MDB_node)
 * on 64-bit little-endian machines.
 */

/** The file is not as LMDB left it. */
export class StructuralDamage extends Error {
  override readonly name = "StructuralDamage";
}

export interface WalkedRow {
  readonly table: string;
  readonly key: Buffer;
  readonly value: Buffer;
}

const MAGIC = 0xbeefc0de;
const VERSION = 2;
const PAGE = { number: 0, flags: 18, lower: 20, upper: 22, overflowPages: 20, header: 24 } as const;
const META = { magic: 24, version: 28, free: 48, main: 96, lastPage: 144, transaction: 152, end: 168 } as const;
const TREE = {
  pageSize: 0,
  depth: 6,
  branches: 8,
  leaves: 16,
  overflows: 24,
  entries: 32,
  root: 40,
  size: 48,
} as const;
const NODE = { low: 0, high: 2, flags: 4, keySize: 6, header: 8 } as const;
const KINDS = 0x0f;
const BRANCH = 0x01;
const LEAF = 0x02;
const OVERFLOW = 0x04;
const META_PAGE = 0x08;
const IS_ON_OVERFLOW = 0x01;
const IS_TREE = 0x02;
const NO_ROOT = 0xffff_ffff_ffff_ffffn;
// Read at a time, because pages that belong together mostly stand together; so many of these pieces are remembered.
const PIECE_BYTES = 256 * 1024;
const MOST_PIECES = 64;

interface Tree {
  readonly name: string;
  readonly root: number | undefined;
  readonly depth: number;
  readonly pages: readonly [branches: number, leaves: number, overflows: number];
  readonly entries: number;
}

interface Node {
  readonly key: Buffer;
  readonly flags: number;
  /** Of a leaf, where its value stands in the page; of a branch, the page below. */
  readonly at: number;
  readonly size: number;
}

/**
 * Every row of every table, in their order.
 *
 * @throws {StructuralDamage} where the file is not as LMDB left it, {Error} where it cannot be read.
 */
export function* walk(file: string): Generator<WalkedRow> {
  const pages = new Pages(file);
  try {
    yield* new Walk(pages).rows();
  } finally {
    pages.close();
  }
}

class Walk {
  readonly #pages: Pages;
  readonly #used = new PageSet();
  #lastPage = 0;

  constructor(pages: Pages) {
    this.#pages = pages;
  }

  *rows(): Generator<WalkedRow> {
    const meta = this.#newestMeta();
    this.#lastPage = numberAt(meta, META.lastPage);
    const free = treeAt(meta, META.free, "free pages");
    const main = treeAt(meta, META.main, "tables");
    const unused: PageRange[] = [];
    for (const { value } of this.#rowsOf(free)) for (const range of rangesOf(value, this.#lastPage)) unused.push(range);
    for (const { key, value, isTree } of this.#rowsOf(main)) {
      if (!isTree) continue;
      // LMDB's names end as C's do.
      const table = key.toString().replace(/\0$/, "");
      for (const row of this.#rowsOf(treeAt(value, 0, table))) yield { table, key: row.key, value: row.value };
    }
    for (const { first, count } of unused) {
      // What is free behind the end of the file is used by nobody: that would have been told.
      const end = Math.min(first + count, this.#pages.count);
      for (let page = first; page < end; page++) {
        if (!this.#used.add(page)) throw new StructuralDamage(`page ${page} is in use and free at once`);
      }
    }
  }

  #newestMeta(): Buffer {
    const first = this.#pages.meta(0);
    const second = this.#pages.meta(1);
    const [even, odd] = [first, second].map((meta) => meta.readBigUInt64LE(META.transaction)) as [bigint, bigint];
    // Transactions write them in turn.
    const isNew = even === 0n && odd === 0n;
    if (!isNew && (even % 2n !== 0n || odd % 2n !== 1n || (even - odd !== 1n && odd - even !== 1n))) {
      throw new StructuralDamage(`its two heads are of the transactions ${even} and ${odd}`);
    }
    return odd > even ? second : first;
  }

  *#rowsOf(tree: Tree): Generator<{ key: Buffer; value: Buffer; isTree: boolean }> {
    const counted = { pages: [0, 0, 0] as [number, number, number], entries: 0 };
    if (tree.root !== undefined)
      yield* this.#rowsBelow(tree, tree.root, 1, counted, { low: undefined, high: undefined });
    const isRight =
      counted.entries === tree.entries && counted.pages.every((count, kind) => count === tree.pages[kind]);
    if (!isRight) throw new StructuralDamage(`"${tree.name}" has other rows or pages than it says`);
  }

  *#rowsBelow(
    tree: Tree,
    number: number,
    level: number,
    counted: { pages: [number, number, number]; entries: number },
    bounds: { low: Buffer | undefined; high: Buffer | undefined },
  ): Generator<{ key: Buffer; value: Buffer; isTree: boolean }> {
    const page = this.#take(number, 1);
    const kind = page.readUInt16LE(PAGE.flags) & KINDS;
    const isLeaf = level === tree.depth;
    if (kind !== (isLeaf ? LEAF : BRANCH)) throw new StructuralDamage(`page ${number} is of another kind than it was`);
    counted.pages[isLeaf ? 1 : 0] += 1;
    const nodes = nodesOf(page, number, isLeaf);
    let before = bounds.low;
    for (const [place, node] of nodes.entries()) {
      const isFirstOfBranch = !isLeaf && place === 0;
      if (!isFirstOfBranch) {
        // Free pages are sorted by numbers and not by bytes.
        const isInOrder =
          tree.name === FREE ||
          ((before === undefined || Buffer.compare(before, node.key) < (isLeaf && place === 0 ? 1 : 0)) &&
            (bounds.high === undefined || Buffer.compare(node.key, bounds.high) < 0));
        if (!isInOrder) throw new StructuralDamage(`the keys of page ${number} are not in their order`);
        before = node.key;
      }
      if (isLeaf) {
        counted.entries += 1;
        yield { key: node.key, value: this.#valueOf(page, node, counted), isTree: (node.flags & IS_TREE) !== 0 };
      } else {
        const low = isFirstOfBranch ? bounds.low : node.key;
        const high = nodes[place + 1]?.key ?? bounds.high;
        yield* this.#rowsBelow(tree, node.at, level + 1, counted, { low, high });
      }
    }
  }

  #valueOf(page: Buffer, node: Node, counted: { pages: [number, number, number] }): Buffer {
    if ((node.flags & IS_ON_OVERFLOW) === 0) return page.subarray(node.at, node.at + node.size);
    const number = Number(page.readBigUInt64LE(node.at));
    const count = Math.ceil((PAGE.header + node.size) / this.#pages.pageSize);
    const pages = this.#take(number, count);
    const isRight = (pages.readUInt16LE(PAGE.flags) & KINDS) === OVERFLOW && numberAt32(pages) === count;
    if (!isRight) throw new StructuralDamage(`page ${number} is of another kind than it was`);
    counted.pages[2] += count;
    return pages.subarray(PAGE.header, PAGE.header + node.size);
  }

  #take(number: number, count: number): Buffer {
    if (number < 2 || number + count - 1 > this.#lastPage) throw new StructuralDamage(`there is no page ${number}`);
    for (let page = number; page < number + count; page++) {
      if (!this.#used.add(page)) throw new StructuralDamage(`page ${page} is used twice`);
    }
    return this.#pages.read(number, count);
  }
}

const FREE = "free pages";

interface PageRange {
  readonly first: number;
  readonly count: number;
}

/** A bit for each page: a store may have more pages than a Set has room for. */
class PageSet {
  readonly #blocks = new Map<number, Uint8Array>();

  /** @returns false where it was there before. */
  add(page: number): boolean {
    const place = Math.floor(page / (8 * BLOCK_BYTES));
    let block = this.#blocks.get(place);
    if (block === undefined) {
      block = new Uint8Array(BLOCK_BYTES);
      this.#blocks.set(place, block);
    }
    const bit = page % (8 * BLOCK_BYTES);
    const before = block[bit >> 3] ?? 0;
    const after = before | (1 << (bit & 7));
    block[bit >> 3] = after;
    return before !== after;
  }
}

const BLOCK_BYTES = 8192;

class Pages {
  readonly pageSize: number;
  readonly #fd: number;
  readonly #size: number;
  readonly #pieces = new Map<number, Buffer>();

  constructor(file: string) {
    this.#fd = openSync(file, "r");
    try {
      this.#size = fstatSync(this.#fd).size;
      const head = this.#bytes(0, META.end, "the head");
      refuseForeign(head);
      this.pageSize = head.readUInt32LE(META.free + TREE.pageSize);
      const isPossible = this.pageSize >= 256 && this.pageSize <= 65_536 && (this.pageSize & (this.pageSize - 1)) === 0;
      if (!isPossible) throw new StructuralDamage(`its pages have a size of ${this.pageSize}`);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** That the file has room for. */
  get count(): number {
    return Math.ceil(this.#size / this.pageSize);
  }

  meta(number: 0 | 1): Buffer {
    const page = this.#bytes(number * this.pageSize, META.end, "the head");
    refuseForeign(page);
    if ((page.readUInt16LE(PAGE.flags) & META_PAGE) === 0 || page.readUInt32LE(META.free) !== this.pageSize) {
      throw new StructuralDamage("its heads differ");
    }
    return page;
  }

  read(number: number, count: number): Buffer {
    const pages = this.#bytes(number * this.pageSize, count * this.pageSize, `page ${number}`);
    if (Number(pages.readBigUInt64LE(PAGE.number)) !== number) {
      throw new StructuralDamage(`page ${number} is overwritten`);
    }
    return pages;
  }

  close(): void {
    closeSync(this.#fd);
  }

  #bytes(at: number, count: number, what: string): Buffer {
    if (at + count > this.#size) {
      throw new StructuralDamage(`it is cut off after ${this.#size} bytes, before the end of ${what}`);
    }
    const place = Math.floor(at / PIECE_BYTES);
    const within = at - place * PIECE_BYTES;
    if (within + count > PIECE_BYTES) return this.#fromDisk(at, count);
    let piece = this.#pieces.get(place);
    if (piece === undefined) {
      const oldest = this.#pieces.keys().next();
      if (this.#pieces.size >= MOST_PIECES && oldest.done !== true) this.#pieces.delete(oldest.value);
      piece = this.#fromDisk(place * PIECE_BYTES, Math.min(PIECE_BYTES, this.#size - place * PIECE_BYTES));
      this.#pieces.set(place, piece);
    }
    return piece.subarray(within, within + count);
  }

  #fromDisk(at: number, count: number): Buffer {
    const bytes = Buffer.alloc(count);
    for (let read = 0; read < count; ) {
      const got = readSync(this.#fd, bytes, read, count - read, at + read);
      if (got === 0) throw new StructuralDamage("it became shorter while it was read");
      read += got;
    }
    return bytes;
  }
}

function refuseForeign(page: Buffer): void {
  const isOurs = page.readUInt32LE(META.magic) === MAGIC && (page.readUInt32LE(META.version) & 0xffff) === VERSION;
  if (!isOurs) throw new StructuralDamage("it does not begin as an LMDB file does");
}

function treeAt(bytes: Buffer, at: number, name: string): Tree {
  if (bytes.length < at + TREE.size) throw new StructuralDamage(`"${name}" is cut off`);
  const root = bytes.readBigUInt64LE(at + TREE.root);
  return {
    name,
    root: root === NO_ROOT ? undefined : Number(root),
    depth: bytes.readUInt16LE(at + TREE.depth),
    pages: [TREE.branches, TREE.leaves, TREE.overflows].map((field) => numberAt(bytes, at + field)) as unknown as [
      number,
      number,
      number,
    ],
    entries: numberAt(bytes, at + TREE.entries),
  };
}

function nodesOf(page: Buffer, number: number, isLeaf: boolean): Node[] {
  const broken = (): StructuralDamage => new StructuralDamage(`page ${number} is overwritten`);
  const pointersEnd = PAGE.header + page.readUInt16LE(PAGE.lower);
  if (pointersEnd > page.length || (pointersEnd - PAGE.header) % 2 !== 0) throw broken();
  const nodes: Node[] = [];
  for (let pointer = PAGE.header as number; pointer < pointersEnd; pointer += 2) {
    const start = PAGE.header + page.readUInt16LE(pointer);
    const keyAt = start + NODE.header;
    if (keyAt > page.length || start < pointersEnd) throw broken();
    const [low, high, flags, keySize] = [NODE.low, NODE.high, NODE.flags, NODE.keySize].map((field) =>
      page.readUInt16LE(start + field),
    ) as [number, number, number, number];
    const valueAt = keyAt + keySize;
    const size = low + high * 0x1_0000;
    const inPage = (flags & IS_ON_OVERFLOW) === 0 ? size : 8;
    if (valueAt > page.length || (isLeaf && valueAt + inPage > page.length)) throw broken();
    const key = page.subarray(keyAt, valueAt);
    nodes.push({ key, flags, size, at: isLeaf ? valueAt : size + flags * 2 ** 32 });
  }
  return nodes;
}

/** A list of free pages: a negative number says how many follow the next one. */
function* rangesOf(list: Buffer, lastPage: number): Generator<PageRange> {
  const entries = list.length < 8 ? 0 : numberAt(list, 0);
  if (list.length < 8 * (entries + 1)) throw new StructuralDamage("a list of free pages is cut off");
  for (let at = 1; at <= entries; at++) {
    const entry = Number(list.readBigInt64LE(8 * at));
    if (entry === 0) continue;
    const first = entry > 0 ? entry : at < entries ? Number(list.readBigInt64LE(8 * ++at)) : 0;
    const count = entry > 0 ? 1 : -entry;
    if (first < 2 || first + count - 1 > lastPage) throw new StructuralDamage(`the free page ${first} does not exist`);
    yield { first, count };
  }
}

function numberAt(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at));
}

function numberAt32(page: Buffer): number {
  return page.readUInt32LE(PAGE.overflowPages);
}
