// What holds for every input of every operation, tried on many.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { z } from "zod";
import * as connectorSchemas from "../../../src/api/connector-schemas.ts";
import * as schemas from "../../../src/api/schemas.ts";
import { parseInput } from "../../../src/api/validation.ts";
import { isServiceError } from "../../../src/errors.ts";
import { brokenInputs, validInputs } from "./schema-inputs.ts";

/** The same inputs in every run; another seed by hand tries others. */
const RUNS = { numRuns: 60, seed: 1 };

const INPUTS = Object.entries<unknown>({ ...schemas, ...connectorSchemas }).filter(
  (entry): entry is [string, z.ZodType] => entry[1] instanceof z.ZodType,
);

describe("inputs made from a schema", () => {
  it("are those of all operations", () => {
    assert.ok(INPUTS.length >= 20, `${INPUTS.length} schemas`);
  });

  for (const [name, schema] of INPUTS) {
    it(`of ${name} are accepted when they break nothing`, () => {
      fc.assert(
        fc.property(validInputs(schema), (raw) => void parseInput(schema, raw)),
        RUNS,
      );
    });

    it(`of ${name} are refused with exactly the constraints that they break`, () => {
      let broken = 0;
      fc.assert(
        fc.property(brokenInputs(schema), ({ raw, violations }) => {
          const count = violations.length;
          // An input of optional members may have none that could be broken.
          if (count === 0) return;
          broken += 1;
          const detected = `${count} validation error${count === 1 ? "" : "s"} detected`;
          assert.equal(refusalOf(schema, raw), `${detected}: ${violations.join("; ")}`);
        }),
        RUNS,
      );
      assert.ok(broken > RUNS.numRuns / 4, `${broken} broken inputs`);
    });
  }
});

function refusalOf(schema: z.ZodType, raw: unknown): string {
  try {
    parseInput(schema, raw);
    return "accepted";
  } catch (error) {
    if (isServiceError(error, "VALIDATION_FAILED")) return error.message;
    throw error;
  }
}
