// Series of samples by name, in the order in which they began.

export interface Samples {
  add(name: string, value: number): void;
  /** The series; empty when nothing was added. */
  of(name: string): readonly number[];
  names(): string[];
}

/** No series yet. */
export function createSamples(): Samples {
  const series = new Map<string, number[]>();
  return {
    add(name, value) {
      const known = series.get(name);
      if (known === undefined) series.set(name, [value]);
      else known.push(value);
    },
    of: (name) => series.get(name) ?? [],
    names: () => [...series.keys()],
  };
}
