// What is said about a series of samples.

export interface Summary {
  readonly count: number;
  readonly median: number;
  readonly p95: number;
  readonly max: number;
}

/** Median, 95th percentile (nearest rank) and maximum of at least one sample. */
export function summarize(samples: readonly number[]): Summary {
  const sorted = samples.toSorted((a, b) => a - b);
  return {
    count: sorted.length,
    // The middle one, or between the middle two.
    median: (rank(sorted, 0.5) + rank(sorted, 0.5 + 0.5 / sorted.length)) / 2,
    p95: rank(sorted, 0.95),
    max: rank(sorted, 1),
  };
}

function rank(sorted: readonly number[], share: number): number {
  const sample = sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)];
  if (sample === undefined) throw new RangeError("No samples to summarize");
  return sample;
}
