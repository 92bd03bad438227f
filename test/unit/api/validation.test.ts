import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { z } from "zod";
import {
  createMicrovmAuthToken,
  createMicrovmImage,
  listMicrovms,
  runMicrovm,
} from "../../../src/api/schemas.ts";
import { parseInput } from "../../../src/api/validation.ts";
import { isServiceError } from "../../../src/errors.ts";
import { BASE_ARN, IMAGE_ARN, MICROVM_ID, ROLE_ARN } from "./fixtures.ts";

const IMAGE = {
  name: "flask",
  baseImageArn: BASE_ARN,
  buildRoleArn: ROLE_ARN,
  codeArtifact: { uri: "s3://code/flask.zip" },
};
const RUN = { imageIdentifier: IMAGE_ARN };
const TOKEN = {
  microvmIdentifier: MICROVM_ID,
  expirationInMinutes: 5,
  allowedPorts: [{ port: 8080 }],
};

function refusal(schema: z.ZodType, raw: unknown) {
  try {
    parseInput(schema, raw);
  } catch (error) {
    assert.ok(isServiceError(error, "VALIDATION_FAILED"), String(error));
    return error;
  }
  throw new assert.AssertionError({ message: "accepted" });
}

const message = (schema: z.ZodType, raw: unknown) => refusal(schema, raw).message;
const violation = (value: string, path: string, constraint: string) =>
  `1 validation error detected: ${value} at '${path}' failed to satisfy constraint: ${constraint}`;

describe("constraint messages", () => {
  it("parseInput words a bad name as recorded", () => {
    assert.equal(
      message(createMicrovmImage, { ...IMAGE, name: "bad name!" }),
      "1 validation error detected: Value 'bad name!' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9-_]+",
    );
  });

  it("parseInput lists missing members in the recorded order", () => {
    assert.equal(
      message(createMicrovmImage, { name: "torpor" }),
      "3 validation errors detected: Value null at 'baseImageArn' failed to satisfy constraint: Member must not be null; Value null at 'codeArtifact' failed to satisfy constraint: Member must not be null; Value null at 'buildRoleArn' failed to satisfy constraint: Member must not be null",
    );
  });

  it("parseInput takes an explicit null for a missing member", () => {
    assert.equal(
      message(runMicrovm, { imageIdentifier: null, imageVersion: null }),
      violation("Value null", "imageIdentifier", "Member must not be null"),
    );
  });

  it("parseInput requires all members of a given idle policy", () => {
    const idlePolicy = { maxIdleDurationSeconds: 60, suspendedDurationSeconds: 0 };
    assert.equal(
      message(runMicrovm, { ...RUN, idlePolicy }),
      violation("Value null", "idlePolicy.autoResumeEnabled", "Member must not be null"),
    );
    assert.match(
      message(runMicrovm, { ...RUN, idlePolicy: {} }),
      /^3 validation errors detected: /,
    );
  });

  it("parseInput prints numbers and their bounds", () => {
    assert.equal(
      message(listMicrovms, { maxResults: "51" }),
      violation("Value '51'", "maxResults", "Member must have value less than or equal to 50"),
    );
    assert.equal(
      message(listMicrovms, { maxResults: "0" }),
      violation("Value '0'", "maxResults", "Member must have value greater than or equal to 1"),
    );
  });

  it("parseInput lists all constraints that one value breaks, lengths before the pattern", () => {
    assert.equal(
      message(createMicrovmImage, { ...IMAGE, name: "" }),
      "2 validation errors detected: Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1; Value '' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9-_]+",
    );
  });

  it("parseInput counts the items of a list", () => {
    const egressNetworkConnectors = ["arn:a", "arn:b"];
    assert.equal(
      message(createMicrovmImage, { ...IMAGE, egressNetworkConnectors }),
      violation(
        "Value '[arn:a, arn:b]'",
        "egressNetworkConnectors",
        "Member must have length less than or equal to 1",
      ),
    );
  });

  it("parseInput reports bad list items once with all constraints", () => {
    assert.equal(
      message(runMicrovm, { ...RUN, ingressNetworkConnectors: ["", ""] }),
      violation(
        "Value '[, ]'",
        "ingressNetworkConnectors",
        "Member must satisfy constraint: [Member must have length less than or equal to 2048, Member must have length greater than or equal to 1, Member must not be null]",
      ),
    );
  });

  it("parseInput names the item and the member inside a list of structures", () => {
    const allowedPorts = [{ port: 1 }, { port: 0 }, { range: { startPort: 5 } }];
    assert.equal(
      message(createMicrovmAuthToken, { ...TOKEN, allowedPorts }),
      "2 validation errors detected: Value '0' at 'allowedPorts.2.member.port' failed to satisfy constraint: Member must have value greater than or equal to 1; Value null at 'allowedPorts.3.member.range.endPort' failed to satisfy constraint: Member must not be null",
    );
  });

  it("parseInput lists enum values", () => {
    assert.equal(
      message(createMicrovmImage, { ...IMAGE, hooks: { microvmHooks: { run: "/run" } } }),
      violation(
        "Value '/run'",
        "hooks.microvmHooks.run",
        "Member must satisfy enum value set: [DISABLED, ENABLED]",
      ),
    );
  });

  it("parseInput reports bad tag keys and values once each", () => {
    const said = message(createMicrovmImage, { ...IMAGE, tags: { "a*": "1", "b*": "#" } });
    assert.match(said, /^2 validation errors detected: Value '\{a\*=1, b\*=#\}' at 'tags' /);
    assert.match(said, /Map keys must satisfy constraint: \[Member must have length less than or/);
    assert.match(
      said,
      /; Value '\{a\*=1, b\*=#\}' at 'tags' .*Map value must satisfy constraint: /,
    );
  });

  it("parseInput refuses a map key that would change a prototype", () => {
    const environmentVariables: unknown = JSON.parse('{"__proto__":"x"}');
    assert.match(
      message(createMicrovmImage, { ...IMAGE, environmentVariables }),
      /Map keys must satisfy constraint/,
    );
  });
});

describe("values in messages", () => {
  it("parseInput omits the run hook payload, counted in bytes", () => {
    assert.doesNotThrow(() => parseInput(runMicrovm, { ...RUN, runHookPayload: "x".repeat(4096) }));
    for (const runHookPayload of ["x".repeat(4097), "é".repeat(2049)])
      assert.equal(
        message(runMicrovm, { ...RUN, runHookPayload }),
        violation("Value", "runHookPayload", "Member must have length less than or equal to 4096"),
      );
  });

  it("parseInput omits environment variables", () => {
    const said = message(createMicrovmImage, {
      ...IMAGE,
      environmentVariables: { "MY KEY": "hunter2" },
    });
    assert.ok(!said.includes("hunter2") && !said.includes("MY KEY"), said);
    assert.ok(said.startsWith("1 validation error detected: Value at 'environmentVariables' "));
  });

  it("parseInput omits client tokens", () => {
    const said = message(runMicrovm, { ...RUN, clientToken: "t".repeat(129) });
    assert.match(said, /: Value at 'clientToken' /);
  });

  it("parseInput omits very long values", () => {
    const said = message(createMicrovmImage, { ...IMAGE, name: "n".repeat(100_000) });
    assert.equal(
      said,
      violation("Value", "name", "Member must have length less than or equal to 64"),
    );
  });
});

describe("unions", () => {
  const withPorts = (entry: unknown) => ({ ...TOKEN, allowedPorts: [entry] });

  it("parseInput takes each member of a union alone", () => {
    const allowedPorts = [
      { port: 80 },
      { range: { startPort: 1, endPort: 65535 } },
      { allPorts: {} },
    ];
    assert.deepEqual(parseInput(createMicrovmAuthToken, { ...TOKEN, allowedPorts }), {
      ...TOKEN,
      allowedPorts,
    });
  });

  it("parseInput refuses a union with none or several members", () => {
    for (const entry of [{}, { port: 1, allPorts: {} }, { allPorts: null }, { other: 1 }])
      assert.match(
        message(createMicrovmAuthToken, withPorts(entry)),
        /at 'allowedPorts\.1\.member' .*Member must have exactly one member set$/,
      );
  });

  it("parseInput refuses a boolean allPorts as the service does", () => {
    const error = refusal(createMicrovmAuthToken, withPorts({ allPorts: true }));
    assert.equal(error.message, "Expected null");
    assert.equal(error.details["exception"], "SerializationException");
  });

  it("parseInput refuses a range that ends before it starts", () => {
    assert.match(
      message(createMicrovmAuthToken, withPorts({ range: { startPort: 2, endPort: 1 } })),
      /at 'allowedPorts\.1\.member\.range' .*startPort less than or equal to endPort$/,
    );
  });

  it("parseInput needs at least one port and 1 to 60 minutes", () => {
    assert.match(
      message(createMicrovmAuthToken, { ...TOKEN, allowedPorts: [] }),
      /^1 .*Value '\[\]' at 'allowedPorts' .*length greater than or equal to 1$/,
    );
    for (const expirationInMinutes of [0, 61])
      assert.match(
        message(createMicrovmAuthToken, { ...TOKEN, expirationInMinutes }),
        /at 'expirationInMinutes' failed to satisfy constraint: Member must have value/,
      );
  });
});

describe("wrong JSON types", () => {
  const cases: readonly [string, z.ZodType, unknown, string][] = [
    ["number for string", createMicrovmImage, { ...IMAGE, name: 5 }, "NUMBER_VALUE can not be converted to String"],
    ["string for integer", createMicrovmAuthToken, { ...TOKEN, expirationInMinutes: "5" }, "STRING_VALUE can not be converted to Integer"],
    ["fraction for integer", createMicrovmAuthToken, { ...TOKEN, expirationInMinutes: 1.5 }, "DECIMAL_VALUE can not be converted to Integer"],
    ["boolean for string", runMicrovm, { imageIdentifier: true }, "TRUE_VALUE can not be converted to String"],
    ["structure for string", runMicrovm, { imageIdentifier: {} }, "Start of structure or map found where not expected."],
    ["list for string", runMicrovm, { imageIdentifier: [] }, "Start of list found where not expected"],
    ["string for list", createMicrovmAuthToken, { ...TOKEN, allowedPorts: "8080" }, "Expected list or null"],
    ["string for structure", runMicrovm, { ...RUN, idlePolicy: "60" }, "Expected null"],
    ["number in a list", runMicrovm, { ...RUN, ingressNetworkConnectors: [1] }, "NUMBER_VALUE can not be converted to String"],
    ["number in a map", createMicrovmImage, { ...IMAGE, tags: { a: 1 } }, "NUMBER_VALUE can not be converted to String"],
    ["list for map", createMicrovmImage, { ...IMAGE, tags: [] }, "Start of list found where not expected"],
    ["number for enum", createMicrovmImage, { ...IMAGE, additionalOsCapabilities: [1] }, "NUMBER_VALUE can not be converted to String"],
    ["word for query number", listMicrovms, { maxResults: "many" }, "STRING_VALUE can not be converted to Integer"],
  ]; // prettier-ignore
  for (const [what, schema, raw, said] of cases)
    it(`parseInput reports ${what} before any constraint`, () => {
      const error = refusal(schema, raw);
      assert.equal(error.message, said);
      assert.equal(error.details["exception"], "SerializationException");
    });
});
