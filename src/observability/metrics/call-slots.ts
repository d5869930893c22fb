/** Paths that are remembered with their slots. Those that are not, cost more and are counted all the same. */
const MAX_PATHS = 4000;
const MAX_OF_PATH = 50;
/** A longer one is not remembered. */
const MAX_PATH_LENGTH = 512;

interface Entry<Slots, Status> {
  readonly method: string;
  readonly status: Status;
  readonly slots: Slots;
}

/** The slots of all metrics of a call, found at one look-up and without writing text. */
export class CallSlots<Slots, Status = number> {
  readonly #byPath = new Map<string, Entry<Slots, Status>[]>();
  readonly #find: (method: string, path: string, status: Status) => Slots;

  /** @param find writes the labels, for what has not been seen. */
  constructor(find: (method: string, path: string, status: Status) => Slots) {
    this.#find = find;
  }

  of(method: string, path: string, status: Status): Slots {
    const entries = this.#byPath.get(path);
    if (entries !== undefined) {
      for (const entry of entries) {
        if (entry.status === status && entry.method === method) return entry.slots;
      }
    }
    const slots = this.#find(method, path, status);
    this.#remember(entries, path, { method, status, slots });
    return slots;
  }

  #remember(entries: Entry<Slots, Status>[] | undefined, path: string, entry: Entry<Slots, Status>): void {
    if (entries !== undefined) {
      if (entries.length < MAX_OF_PATH) entries.push(entry);
      return;
    }
    if (path.length > MAX_PATH_LENGTH) return;
    // Paths from outside may never come again: those that do are soon here again.
    if (this.#byPath.size >= MAX_PATHS) this.#byPath.clear();
    this.#byPath.set(copyOf(path), [entry]);
  }
}

/** A path that was cut out of a request's head keeps all of that in memory. */
function copyOf(path: string): string {
  return Buffer.from(path).toString();
}
