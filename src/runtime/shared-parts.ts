import type { Borrowed, SharedPart, SharedParts } from "../components/contract/shared-parts.ts";

interface Lent {
  readonly part: Promise<SharedPart>;
  borrowers: number;
}

/** The parts that the Sidecars of one process share. */
export class ProcessParts implements SharedParts {
  readonly #lent = new Map<string, Lent>();
  /** Of keys whose last part is being closed: the next one waits for it. */
  readonly #closing = new Map<string, Promise<void>>();

  async borrow<Part extends SharedPart>(key: string, create: () => Promise<Part>): Promise<Borrowed<Part>> {
    const lent = this.#lent.get(key) ?? this.#lend(key, create);
    lent.borrowers++;
    let isGivenBack = false;
    try {
      // Whoever asks for a key says what it is: the contract has them begin with the type of their component.
      const part = (await lent.part) as Part;
      const giveBack = async (): Promise<void> => {
        if (isGivenBack) return this.#closing.get(key);
        isGivenBack = true;
        await this.#return(key, lent);
      };
      return { part, giveBack };
    } catch (error) {
      if (--lent.borrowers === 0 && this.#lent.get(key) === lent) this.#lent.delete(key);
      throw error;
    }
  }

  #lend(key: string, create: () => Promise<SharedPart>): Lent {
    const closing = this.#closing.get(key);
    const part = closing === undefined ? create() : closing.then(create);
    const lent = { part, borrowers: 0 };
    this.#lent.set(key, lent);
    return lent;
  }

  async #return(key: string, lent: Lent): Promise<void> {
    if (--lent.borrowers > 0) return;
    this.#lent.delete(key);
    const closed = lent.part.then((part) => part.close());
    const settled = closed.catch(() => undefined);
    this.#closing.set(key, settled);
    void settled.then(() => {
      if (this.#closing.get(key) === settled) this.#closing.delete(key);
    });
    await closed;
  }
}
