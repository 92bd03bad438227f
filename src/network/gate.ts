// Lets a bounded number of tasks run at once; the others wait their turn, first come first served.

export type Gate = <T>(task: () => Promise<T>) => Promise<T>;

/** A gate that at most `limit` tasks pass at the same time. */
export function createGate(limit: number): Gate {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (task) => {
    if (running < limit) running += 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await task();
    } finally {
      // The place passes straight to the next one, so that a newcomer cannot slip in between.
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
