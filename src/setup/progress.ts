// Tells the person at the terminal which step is at work and for how long. One line at a time, fit for a log file too.

export interface StepProgress {
  /** What the step is doing; said again with the elapsed time while no program says more. */
  doing(what: string): void;
  /** Raw output of a program; its last line takes that place. */
  output(chunk: string): void;
}

export interface Progress {
  /** Runs one step; says that it began, is still at work, and how it ended. `work` resolves with the outcome in words. */
  step(name: string, work: (progress: StepProgress) => Promise<string>): Promise<void>;
}

export interface ProgressDeps {
  readonly write: (line: string) => void;
  readonly now: () => number;
}

const REMINDER_MS = 10_000;

/** Numbers the steps out of `total` and writes a line at each event. */
export function createProgress(deps: ProgressDeps, total: number): Progress {
  let number = 0;
  return {
    async step(name, work) {
      number += 1;
      const label = `[${number}/${total}] ${name}`;
      const startedAt = deps.now();
      const elapsed = () => formatSeconds(deps.now() - startedAt);
      let current = "";
      let lastOutput = "";
      const remind = () => {
        deps.write(`${label}: ${lastOutput || current || "at work"} (${elapsed()} so far)`);
      };
      const reminder = setInterval(remind, REMINDER_MS);
      try {
        const outcome = await work({
          doing(what) {
            current = what;
            lastOutput = "";
            deps.write(`${label}: ${what}`);
          },
          output(chunk) {
            lastOutput = lastLine(chunk) ?? lastOutput;
          },
        });
        deps.write(`${label}: ${outcome} (${elapsed()})`);
      } catch (error) {
        deps.write(`${label}: failed (${elapsed()})`);
        throw error;
      } finally {
        clearInterval(reminder);
      }
    },
  };
}

function lastLine(chunk: string): string | undefined {
  const line = chunk
    .split(/[\r\n]/)
    .map((text) => text.trim())
    .findLast((text) => text !== "");
  return line === undefined ? undefined : line.slice(0, 100);
}

/** A duration as people say it: "0.4 s", "12 s", "2 min 5 s". */
export function formatSeconds(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
