// That the expectations leave no operation out, and that what they are told apart by is not told twice.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import path from "node:path";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { z } from "zod";
import { ROUTES } from "../../src/api/routes/routes.ts";
import { pythonWithClients } from "../support/python.ts";
import { CASES, CORE_CASES, HTTP_CASES } from "./expectations/cases.ts";
import type { CallStep } from "./support/cases.ts";
import { type Operation, type OperationName, OPERATIONS } from "./support/operations.ts";

const cases = [...CASES, ...CORE_CASES, ...HTTP_CASES];
const calls = cases
  .flatMap(({ steps }) => steps)
  .filter((step): step is CallStep => "call" in step && !("host" in step));
/** Of which the service has nothing to refuse but the signature. */
const NEVER_REFUSED: readonly string[] = ["GetCallerIdentity"];

const MODELS = path.join(import.meta.dirname, "support/boto3_models.py");

const run = promisify(execFile);
const modelsSchema = z.record(
  z.string(),
  z.object({
    method: z.string(),
    path: z.string(),
    status: z.number(),
    query: z.record(z.string(), z.string()),
  }),
);

describe("the expectations", () => {
  for (const operation of Object.keys(OPERATIONS) as OperationName[]) {
    const { status }: Operation = OPERATIONS[operation];
    const ofIt = calls.filter(({ call }) => call === operation);

    it(`say what ${operation} answers`, () => {
      const isSaid = ({ refusal, answer, text }: CallStep) =>
        refusal === undefined && (answer ?? text ?? (status === 204 || undefined)) !== undefined;
      assert.ok(ofIt.some(isSaid));
    });

    if (!NEVER_REFUSED.includes(operation))
      it(`say what ${operation} refuses`, () => {
        assert.ok(ofIt.some(({ refusal }) => refusal !== undefined));
      });
  }

  it("know every operation that the service has, and where it is", () => {
    const served = ROUTES.map(({ operation, method, path }) => [operation, { method, path }]);
    const known = Object.entries<Operation>(OPERATIONS)
      .filter(([, { family }]) => family !== "sts")
      .map(([operation, { method, path }]) => [operation, { method, path }]);
    assert.deepEqual(Object.fromEntries(known), Object.fromEntries(served));
  });

  it("are about the operations of botocore's models, as those bind them to HTTP", async () => {
    const families = ["lambda-microvms", "lambda-core"];
    const { stdout } = await run(await pythonWithClients(), [MODELS, ...families]);
    const modelled = modelsSchema.parse(JSON.parse(stdout));
    for (const [operation, expected] of Object.entries<Operation>(OPERATIONS)) {
      if (expected.family === "sts") continue;
      const { method, path, status, query, parameters } = expected;
      const names = query.map((name) => [name, parameters?.[name] ?? name]);
      const known = { method, path, status, query: Object.fromEntries(names) };
      // Later models may have further parameters.
      assert.partialDeepStrictEqual(modelled[operation], known, operation);
    }
  });

  it("have names of their own", () => {
    const names = cases.map(({ name }) => name);
    assert.deepEqual(names, [...new Set(names)]);
  });
});
