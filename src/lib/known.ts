// Answers that are mostly known at once. On a path that is taken thousands of times a second a promise for each of them
// would cost more than finding it: whoever asks awaits only what is a promise.

/** The value, or a promise of it where it has to be looked for. */
export type Known<T> = T | Promise<T>;
