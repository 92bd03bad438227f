// The size classes of the service. The guest always sees the peak: four times the baseline
// memory and one vCPU per 2 GiB of it; a sparse RAM file makes the untouched rest free.

export interface SizeClass {
  /** What the image asks for with `minimumMemoryInMiB`. */
  readonly baselineMiB: number;
  readonly peakMiB: number;
  readonly vcpus: number;
  /** Limit of the microVM's own disk. */
  readonly diskMiB: number;
}

export const SIZE_CLASSES: readonly SizeClass[] = [
  { baselineMiB: 512, peakMiB: 2048, vcpus: 1, diskMiB: 8192 },
  { baselineMiB: 1024, peakMiB: 4096, vcpus: 2, diskMiB: 8192 },
  { baselineMiB: 2048, peakMiB: 8192, vcpus: 4, diskMiB: 8192 },
  { baselineMiB: 4096, peakMiB: 16384, vcpus: 8, diskMiB: 16384 },
  { baselineMiB: 8192, peakMiB: 32768, vcpus: 16, diskMiB: 32768 },
];

export const DEFAULT_BASELINE_MIB = 2048;

/** Peak memory of every class as a multiple of its baseline. */
export const PEAK_FACTOR = 4;

/** The class of a baseline in MiB; undefined when the service offers none of that size. */
export function sizeClassOf(baselineMiB: number): SizeClass | undefined {
  return SIZE_CLASSES.find((sizeClass) => sizeClass.baselineMiB === baselineMiB);
}
