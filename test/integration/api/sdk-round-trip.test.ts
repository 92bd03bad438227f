// Inputs made from the schemas go through the SDK: what its serialiser sends is read as it was meant, and what is
// answered comes out of its deserialiser as it went in.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  CreateMicrovmAuthTokenCommand,
  type CreateMicrovmAuthTokenCommandInput,
  CreateMicrovmImageCommand,
  type CreateMicrovmImageCommandInput,
  RunMicrovmCommand,
  type RunMicrovmCommandInput,
} from "@aws-sdk/client-lambda-microvms";
import fc from "fast-check";
import {
  createMicrovmAuthToken,
  createMicrovmImage,
  runMicrovm,
} from "../../../src/api/schemas.ts";
import { parseInput } from "../../../src/api/validation.ts";
import { imageRecord, imageVersionRecord, microvmRecord } from "../../unit/api/fixtures.ts";
import { validInputs } from "../../unit/api/schema-inputs.ts";
import { type Harness, startHarness } from "./harness.ts";

/** The same inputs in every run. */
const RUNS = { numRuns: 60, seed: 1 };

describe("an input that the SDK sends", () => {
  let harness: Harness;
  let received: object | undefined;

  before(async () => {
    const { configuration } = imageVersionRecord();
    harness = await startHarness({
      images: {
        async create(_scope, { clientToken: _token, tags: _tags, name, ...input }) {
          received = { name, ...input, ...(_tags && { tags: _tags }) };
          const image = imageRecord({ name });
          return {
            image,
            version: imageVersionRecord({ configuration: { ...configuration, ...input } }),
          };
        },
      },
      microvms: {
        async run(_scope, { clientToken: _token, imageVersion = "1.0", ...input }) {
          received = { ...input, imageVersion };
          return microvmRecord({ ...input, imageVersion });
        },
      },
    });
  });

  after(() => harness[Symbol.asyncDispose]());

  it("to CreateMicrovmImage arrives and comes back", async () => {
    await fc.assert(
      fc.asyncProperty(validInputs(createMicrovmImage), async (raw) => {
        const sent = raw as CreateMicrovmImageCommandInput;
        const output = await harness.lambda.send(new CreateMicrovmImageCommand(sent));
        const { clientToken: _token, ...meant } = parseInput(createMicrovmImage, raw);
        assert.deepEqual(received, meant);
        const { clientToken: _sentToken, tags: _tags, baseImageVersion: _base, ...echoed } = sent;
        // An empty list of sizes means the default one.
        if (echoed.resources?.length === 0) delete echoed.resources;
        for (const [name, value] of Object.entries(echoed))
          assert.deepEqual(withoutUnset(output[name as keyof typeof output]), withoutUnset(value));
      }),
      RUNS,
    );
  });

  it("to RunMicrovm arrives and comes back", async () => {
    await fc.assert(
      fc.asyncProperty(validInputs(runMicrovm), async (raw) => {
        const sent = raw as RunMicrovmCommandInput;
        const output = await harness.lambda.send(new RunMicrovmCommand(sent));
        const { clientToken: _token, ...meant } = parseInput(runMicrovm, raw);
        assert.deepEqual(received, { imageVersion: "1.0", ...meant });
        const { idlePolicy, maximumDurationInSeconds, executionRoleArn } = sent;
        const echoed = { idlePolicy, maximumDurationInSeconds, executionRoleArn };
        for (const [name, value] of Object.entries(echoed))
          if (value !== undefined) assert.deepEqual(output[name as keyof typeof output], value);
      }),
      RUNS,
    );
  });

  it("to CreateMicrovmAuthToken arrives", async () => {
    const inputs = validInputs(createMicrovmAuthToken).filter(
      // URLs have a meaning of their own for these.
      (raw) => !/^\.\.?$/.test((raw as CreateMicrovmAuthTokenCommandInput).microvmIdentifier ?? ""),
    );
    await fc.assert(
      fc.asyncProperty(inputs, async (raw) => {
        const sent = {
          ...(raw as CreateMicrovmAuthTokenCommandInput),
          microvmIdentifier: microvmRecord().microvmId,
        };
        await harness.lambda.send(new CreateMicrovmAuthTokenCommand(sent));
        const { allowedPorts } = parseInput(createMicrovmAuthToken, raw);
        const claims = harness.minted.at(-1);
        assert.deepEqual(claims && "ports" in claims && claims.ports, allowedPorts);
      }),
      RUNS,
    );
  });
});

/** Nested members that are not set come back as such, not as absent ones. */
function withoutUnset(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUnset);
  if (typeof value !== "object" || value === null) return value;
  const set = Object.entries(value).filter(([, inner]) => inner !== undefined && inner !== null);
  return Object.fromEntries(set.map(([name, inner]) => [name, withoutUnset(inner)]));
}
