// Cuts a program's output into lines as it comes, and remembers the last ones for error messages.

/** Longest line passed on, in characters; a longer one is cut into several. */
const LINE_LIMIT = 8192;
const TAIL_LINES = 40;

export interface LogLines {
  /** Takes output in pieces of any size. */
  write(chunk: string): void;
  /** Passes on a last line that had no end. */
  end(): void;
  /** The last lines, oldest first. */
  tail(): readonly string[];
}

/** Passes whole lines to `onLine`, without their ends. A carriage return ends a line too: progress bars use it. */
export function createLogLines(onLine: (line: string) => void): LogLines {
  let rest = "";
  let tail: string[] = [];
  const pass = (line: string) => {
    // Bars redrawn in place leave empty lines behind.
    if (line.trim() === "") return;
    tail = [...tail.slice(1 - TAIL_LINES), line];
    onLine(line);
  };
  return {
    write: (chunk) => {
      const lines = (rest + chunk).split(/\r\n|\n|\r/);
      rest = lines.pop() ?? "";
      for (const line of lines) pass(line);
      while (rest.length > LINE_LIMIT) {
        pass(rest.slice(0, LINE_LIMIT));
        rest = rest.slice(LINE_LIMIT);
      }
    },
    end: () => {
      pass(rest);
      rest = "";
    },
    tail: () => tail,
  };
}
