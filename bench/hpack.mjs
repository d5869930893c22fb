// Writing header blocks (HPACK, RFC 7541) as a gRPC client or server does: each field in full once, then by its number.
// Reading them is left out: what the bench has to see of an answer, its messages tell.

const STATIC_FIELDS = new Map([
  [":method: POST", 3],
  [":scheme: http", 6],
  [":status: 200", 8],
]);
const STATIC_NAMES = new Map([
  [":authority", 1],
  [":path", 4],
  ["content-type", 31],
  ["user-agent", 58],
]);
// The table's first number behind the static one.
const DYNAMIC = 62;
const TABLE_SIZE_0 = 0x20;

export class HeaderWriter {
  #inserted = new Map();
  #blocks = new Map();
  #table = true;
  #toldSize = true;

  /** Fields are given in full from now on: the other side, nginx for one, has no room for a table. */
  withoutTable() {
    this.#table = false;
    this.#toldSize = false;
    this.#inserted.clear();
    this.#blocks.clear();
  }

  /**
   * @param {[name: string, value: string][]} fields of which one process has few: none is ever put out of the table
   * @returns {Buffer} the block; to be sent in the order in which blocks were asked for
   */
  block(fields) {
    if (!this.#toldSize) {
      this.#toldSize = true;
      return Buffer.concat([Buffer.of(TABLE_SIZE_0), this.block(fields)]);
    }
    const known = this.#blocks.get(fields);
    if (known?.inserted === this.#inserted.size) return known.block;
    const before = this.#inserted.size;
    const block = Buffer.concat(fields.map(([name, value]) => this.#field(name, value)));
    // One that inserts would insert again each time it is sent.
    if (this.#inserted.size === before) this.#blocks.set(fields, { block, inserted: before });
    return block;
  }

  #field(name, value) {
    const text = `${name}: ${value}`;
    const fixed = STATIC_FIELDS.get(text);
    if (fixed !== undefined) return Buffer.of(0x80 | fixed);
    const at = this.#inserted.get(text);
    if (at !== undefined) return Buffer.of(0x80 | shortNumber(DYNAMIC + this.#inserted.size - 1 - at, 127));
    if (!this.#table) return Buffer.concat([Buffer.of(0), plain(name), plain(value)]);
    this.#inserted.set(text, this.#inserted.size);
    const nameAt = STATIC_NAMES.get(name);
    const named = nameAt === undefined ? [Buffer.of(0x40), plain(name)] : [Buffer.of(0x40 | nameAt)];
    return Buffer.concat([...named, plain(value)]);
  }
}

/** A string without Huffman's code. */
function plain(text) {
  return Buffer.concat([Buffer.of(shortNumber(text.length, 127)), Buffer.from(text, "latin1")]);
}

function shortNumber(number, below) {
  if (number >= below) throw new Error(`${number} does not go into one byte of a header block`);
  return number;
}
