// A queue between a producer that cannot wait and one consumer that reads with `for await`.

export interface EventQueue<T> {
  push(item: T): void;
  /** Items in order, the ones pushed before included; ends when the signal aborts. One consumer. */
  read(signal: AbortSignal): AsyncGenerator<T, void, undefined>;
}

/** An empty queue. The producer must be bounded by something else: nothing is ever dropped. */
export function createEventQueue<T>(): EventQueue<T> {
  const items: T[] = [];
  let wake: (() => void) | undefined;
  return {
    push(item) {
      items.push(item);
      wake?.();
    },
    async *read(signal) {
      const onAbort = () => wake?.();
      signal.addEventListener("abort", onAbort);
      try {
        while (!signal.aborted) {
          const item = items.shift();
          if (item !== undefined) yield item;
          else await new Promise<void>((resolve) => (wake = resolve));
        }
      } finally {
        signal.removeEventListener("abort", onAbort);
      }
    },
  };
}
