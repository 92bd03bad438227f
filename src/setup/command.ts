// How set-up runs other programs: the shape of lib/command.ts, so that tests can stand in for apt and cargo.

import type { runCommand } from "../lib/command.ts";

export type RunCommand = typeof runCommand;
