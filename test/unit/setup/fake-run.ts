// A stand-in for running programs: answers by the command line, remembers what was asked.

import type { RunCommand } from "../../../src/setup/command.ts";
import { ServiceError } from "../../../src/errors.ts";

export interface FakeRun {
  readonly run: RunCommand;
  /** Command lines in the order in which they were run. */
  readonly commands: readonly string[];
}

/** Answers with the output of the first entry whose pattern fits; an Error is thrown. Anything else is a failed program. */
export function fakeRun(answers: readonly (readonly [RegExp, string | Error])[]): FakeRun {
  const commands: string[] = [];
  return {
    commands,
    async run(program, args) {
      const line = [program, ...args].join(" ");
      commands.push(line);
      const answer = answers.find(([pattern]) => pattern.test(line))?.[1];
      if (typeof answer === "string") return answer;
      throw answer ?? failedProgram(program, 127);
    },
  };
}

/** The error of a program that ended with `exitCode`. */
export function failedProgram(program: string, exitCode: number): ServiceError {
  return new ServiceError("SETUP_FAILED", `Command "${program}" exited with ${exitCode}: no error`);
}
