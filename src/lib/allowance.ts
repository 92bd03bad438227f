// How much of something a client may do at once and over time.

/** A bucket of `burst` that refills at `perSecond`. */
export class Allowance {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #now: () => number;
  #left: number;
  #filledAt: number;

  /** `now` in milliseconds; monotonic. */
  constructor(burst: number, perSecond: number, now: () => number = () => performance.now()) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#now = now;
    this.#left = burst;
    this.#filledAt = now();
  }

  /** Takes the amount; false, and nothing taken, when there is not enough left. */
  spend(amount: number): boolean {
    const now = this.#now();
    if (now > this.#filledAt) {
      const refill = ((now - this.#filledAt) / 1000) * this.#perSecond;
      this.#left = Math.min(this.#burst, this.#left + refill);
      this.#filledAt = now;
    }
    if (this.#left < amount) return false;
    this.#left -= amount;
    return true;
  }
}
