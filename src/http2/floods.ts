// What one client may do of everything that costs it little and us more: beyond that its session ends.

import { Allowance } from "../lib/allowance.ts";
import { CODE, ConnectionError } from "./codes.ts";

/** PING, SETTINGS and the like are cheap beside what a busy session carries. */
const CONTROL_WHILE_BUSY = 0.1;

export class FloodGuard {
  /** Requests given up before their answer ("rapid reset"): each has cost an admission. */
  readonly #resets = new Allowance(200, 20);
  /** Streams beyond the limit, and those that are broken. */
  readonly #refused = new Allowance(100, 10);
  /** Frames that carry nothing. */
  readonly #empty = new Allowance(1000, 100);
  readonly #control = new Allowance(1000, 100);
  /** Bytes of bodies so far, in both directions. */
  #carried = 0;
  #carriedAtPing = 0;

  noteCarried(bytes: number): void {
    this.#carried += bytes;
  }

  spendReset(): void {
    spend(this.#resets, 1);
  }

  spendRefused(): void {
    spend(this.#refused, 1);
  }

  spendEmpty(): void {
    spend(this.#empty, 1);
  }

  spendControl(isBusy: boolean): void {
    spend(this.#control, isBusy ? CONTROL_WHILE_BUSY : 1);
  }

  /** A gRPC client measures with a PING in each round trip that brings data, thousands in a second: those come free. */
  spendPing(isBusy: boolean): void {
    const hasCarried = this.#carried !== this.#carriedAtPing;
    this.#carriedAtPing = this.#carried;
    if (!hasCarried) this.spendControl(isBusy);
  }
}

function spend(allowance: Allowance, amount: number): void {
  if (!allowance.spend(amount))
    throw new ConnectionError(CODE.enhanceYourCalm, "Client does too much of this");
}
