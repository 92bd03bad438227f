// Structured log: one JSON object a line on stderr. Holds no transport, no rotation; the supervisor does that.

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** Whether lines of the level are written, for those whose fields are worth sparing. */
  isOn(level: LogLevel): boolean;
  /** A log whose lines all carry `fields`. */
  with(fields: LogFields): Log;
}

export type LogFields = Readonly<Record<string, unknown>>;

/** Writes lines at `level` and above to `write`, errors with their message, code and cause. */
export function createLog(
  level: LogLevel,
  write: (line: string) => void,
  base: LogFields = {},
): Log {
  const threshold = LOG_LEVELS.indexOf(level);
  const at =
    (name: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      if (LOG_LEVELS.indexOf(name) < threshold) return;
      const entry = { time: new Date().toISOString(), level: name, message, ...base, ...fields };
      write(`${JSON.stringify(entry, serialiseError)}\n`);
    };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    isOn: (name) => LOG_LEVELS.indexOf(name) >= threshold,
    with: (fields) => createLog(level, write, { ...base, ...fields }),
  };
}

/** A log that drops everything, for tests. */
export function silentLog(): Log {
  return createLog("error", () => undefined);
}

function serialiseError(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const { message, stack, cause } = value;
  const extra = Object.fromEntries(Object.entries(value).filter(([key]) => key !== "name"));
  return { message, ...extra, stack, ...(cause === undefined ? {} : { cause }) };
}
