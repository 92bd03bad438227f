// What a section of the test run (checks, agent, one test folder) came to, and how it is told.

export interface Failure {
  readonly name: string;
  /** Everything that helps to mend it: message, stack, output. */
  readonly detail: string;
}

export interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly failures: readonly Failure[];
}

/** Adds up what several sections came to. */
export function sumOutcomes(outcomes: readonly Outcome[]): Outcome {
  return {
    passed: outcomes.reduce((sum, { passed }) => sum + passed, 0),
    failed: outcomes.reduce((sum, { failed }) => sum + failed, 0),
    skipped: outcomes.reduce((sum, { skipped }) => sum + skipped, 0),
    failures: outcomes.flatMap(({ failures }) => failures),
  };
}

/** The closing line: "N passed, N failed", and the skipped if there are any. */
export function formatTotal({ passed, failed, skipped }: Outcome): string {
  return `${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`;
}

/** The failures with their details, to be read after everything else has scrolled by. */
export function formatFailures(failures: readonly Failure[]): string {
  return failures
    .map(({ name, detail }, index) => {
      const indented = detail.trimEnd().replace(/^(?=.)/gm, "    ");
      return `${index + 1}) ${name}\n${indented}\n`;
    })
    .join("\n");
}
