// Answers that are mostly known at once. On a path that is taken thousands of times a second a promise for each of them
// would cost more than finding it.

/** The value, or a promise of it where it has to be looked for. */
export type Known<T> = T | Promise<T>;

/** Goes on with the value, at once where it is known. */
export function whenKnown<T, R>(known: Known<T>, next: (value: T) => Known<R>): Known<R> {
  return known instanceof Promise ? known.then(next) : next(known);
}
