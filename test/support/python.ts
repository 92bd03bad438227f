// The Python that tests drive AWS and HTTP clients with: one virtual environment of the checkout, made once for all tests.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { REPOSITORY } from "../../scripts/walkthrough/service.ts";

const run = promisify(execFile);
const VENV = path.join(REPOSITORY, ".venv");
const REQUIREMENTS = path.join(import.meta.dirname, "python-requirements.txt");
const MAKE = `
  test -x "$1/bin/python" || python3 -m venv "$1"
  test -e "$1/installed-$3" && exit
  "$1/bin/pip" install --quiet --requirement "$2" && touch "$1/installed-$3"
`;

/** The interpreter with everything in `python-requirements.txt`. Tests of several processes may ask at once. */
export async function pythonWithClients(): Promise<string> {
  const digest = createHash("sha256").update(readFileSync(REQUIREMENTS)).digest("hex").slice(0, 12);
  const script = ["sh", "-e", "-c", MAKE, "make-venv", VENV, REQUIREMENTS, digest];
  await run("flock", [`${VENV}.lock`, ...script]);
  return path.join(VENV, "bin/python");
}
