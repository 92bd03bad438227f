import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import {
  CreateMicrovmAuthTokenCommand,
  CreateMicrovmImageCommand,
  DeleteMicrovmImageCommand,
  GetMicrovmCommand,
  GetMicrovmImageCommand,
  GetMicrovmImageVersionCommand,
  ListMicrovmImagesCommand,
  ListMicrovmsCommand,
  paginateListMicrovms,
  ResumeMicrovmCommand,
  RunMicrovmCommand,
  SuspendMicrovmCommand,
  TerminateMicrovmCommand,
} from "@aws-sdk/client-lambda-microvms";
import { GetCallerIdentityCommand } from "@aws-sdk/client-sts";
import {
  ACCOUNT,
  BASE_ARN,
  CREATED_AT,
  ENDPOINT_ID,
  HTTP_INGRESS,
  IMAGE_ARN,
  INTERNET_EGRESS,
  MICROVM_ID,
  microvmRecord,
  ROLE_ARN,
} from "../../unit/api/fixtures.ts";
import { type Harness, sendSigned, startHarness } from "./harness.ts";

let harness: Harness;
before(async () => {
  harness = await startHarness();
});
after(() => harness[Symbol.asyncDispose]());
beforeEach(() => {
  harness.calls.length = 0;
});

const createdAt = new Date(CREATED_AT);
const MICROVM = {
  microvmId: MICROVM_ID,
  endpoint: `${ENDPOINT_ID}.lambda-microvm.us-east-1.localhost:7443`,
  imageArn: IMAGE_ARN,
  imageVersion: "1.0",
  maximumDurationInSeconds: 28800,
  startedAt: createdAt,
  ingressNetworkConnectors: [HTTP_INGRESS],
  egressNetworkConnectors: [INTERNET_EGRESS],
};
const CONFIGURATION = {
  baseImageArn: BASE_ARN,
  baseImageVersion: "1.0",
  buildRoleArn: ROLE_ARN,
  codeArtifact: { uri: "s3://code/flask.zip" },
  egressNetworkConnectors: [INTERNET_EGRESS],
  resources: [{ minimumMemoryInMiB: 2048 }],
};

/** What the SDK read, without its metadata and the members that came as null. */
function members(output: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(output).filter(
      ([name, value]) => name !== "$metadata" && value !== undefined && value !== null,
    ),
  );
}

describe("image operations", () => {
  it("CreateMicrovmImage answers 201 with the configuration", async () => {
    const output = await harness.lambda.send(
      new CreateMicrovmImageCommand({
        name: "flask",
        baseImageArn: BASE_ARN,
        buildRoleArn: ROLE_ARN,
        codeArtifact: { uri: "s3://code/flask.zip" },
        resources: [{ minimumMemoryInMiB: 512 }],
        environmentVariables: { A: "1" },
        clientToken: "token-1",
      }),
    );
    assert.equal(output.$metadata.httpStatusCode, 201);
    assert.match(output.$metadata.requestId ?? "", /^[0-9a-f-]{36}$/);
    assert.deepEqual(members(output), {
      ...CONFIGURATION,
      imageArn: IMAGE_ARN,
      name: "flask",
      state: "CREATING",
      imageVersion: "1.0",
      createdAt,
      updatedAt: new Date(CREATED_AT + 1000),
    });
    const input = {
      name: "flask",
      baseImageArn: BASE_ARN,
      buildRoleArn: ROLE_ARN,
      codeArtifactUri: "s3://code/flask.zip",
      memoryMiB: 512,
      environmentVariables: { A: "1" },
      clientToken: "token-1",
    };
    assert.deepEqual(harness.calls, [["create", input]]);
  });

  it("GetMicrovmImage takes an ARN in its path", async () => {
    const output = await harness.lambda.send(
      new GetMicrovmImageCommand({ imageIdentifier: IMAGE_ARN }),
    );
    assert.deepEqual(members(output), {
      imageArn: IMAGE_ARN,
      name: "flask",
      state: "CREATED",
      latestActiveImageVersion: "1.0",
      createdAt,
      updatedAt: new Date(CREATED_AT + 1000),
      tags: {},
    });
    assert.deepEqual(harness.calls, [["get", IMAGE_ARN]]);
  });

  it("GetMicrovmImageVersion answers the configuration and both state axes", async () => {
    const output = await harness.lambda.send(
      new GetMicrovmImageVersionCommand({ imageIdentifier: IMAGE_ARN, imageVersion: "1.0" }),
    );
    assert.deepEqual(members(output), {
      ...CONFIGURATION,
      imageArn: IMAGE_ARN,
      imageVersion: "1.0",
      state: "SUCCESSFUL",
      status: "ACTIVE",
      createdAt,
      updatedAt: createdAt,
    });
    assert.deepEqual(harness.calls, [["getVersion", IMAGE_ARN, "1.0"]]);
  });

  it("ListMicrovmImages passes the name filter on", async () => {
    const output = await harness.lambda.send(new ListMicrovmImagesCommand({ nameFilter: "fla" }));
    assert.deepEqual(
      output.items?.map(({ name, state }) => [name, state]),
      [["flask", "CREATED"]],
    );
    assert.ok(!output.nextToken);
    assert.deepEqual(harness.calls, [["list", { maxResults: 10, after: null }, "fla"]]);
  });

  it("DeleteMicrovmImage answers DELETING", async () => {
    const output = await harness.lambda.send(
      new DeleteMicrovmImageCommand({ imageIdentifier: IMAGE_ARN }),
    );
    assert.deepEqual(members(output), { imageIdentifier: IMAGE_ARN, state: "DELETING" });
  });
});

describe("microVM operations", () => {
  it("RunMicrovm answers a pending microVM with its final endpoint", async () => {
    const input = {
      imageVersion: "1.0",
      runHookPayload: "hello",
      idlePolicy: {
        maxIdleDurationSeconds: 60,
        suspendedDurationSeconds: 0,
        autoResumeEnabled: true,
      },
      logging: { disabled: {} },
      clientToken: "token-2",
    };
    const output = await harness.lambda.send(
      new RunMicrovmCommand({ imageIdentifier: IMAGE_ARN, ...input }),
    );
    assert.equal(output.$metadata.httpStatusCode, 200);
    assert.deepEqual(members(output), { ...MICROVM, state: "PENDING" });
    assert.deepEqual(harness.calls, [["run", { imageArn: IMAGE_ARN, ...input }]]);
  });

  it("GetMicrovm answers the same shape", async () => {
    const output = await harness.lambda.send(
      new GetMicrovmCommand({ microvmIdentifier: MICROVM_ID }),
    );
    assert.deepEqual(members(output), { ...MICROVM, state: "RUNNING" });
  });

  it("ListMicrovms passes filter and page size on", async () => {
    const output = await harness.lambda.send(
      new ListMicrovmsCommand({ imageIdentifier: IMAGE_ARN, imageVersion: "1.0", maxResults: 50 }),
    );
    assert.deepEqual(output.items, [
      {
        microvmId: MICROVM_ID,
        state: "RUNNING",
        imageArn: IMAGE_ARN,
        imageVersion: "1.0",
        startedAt: createdAt,
      },
    ]);
    const filter = { imageArn: IMAGE_ARN, imageVersion: "1.0" };
    assert.deepEqual(harness.calls, [["list", filter, { maxResults: 50, after: null }]]);
  });

  it("the three state changes answer an empty object", async () => {
    const input = { microvmIdentifier: MICROVM_ID };
    const outputs = [
      await harness.lambda.send(new SuspendMicrovmCommand(input)),
      await harness.lambda.send(new ResumeMicrovmCommand(input)),
      await harness.lambda.send(new TerminateMicrovmCommand(input)),
    ];
    for (const output of outputs) assert.deepEqual(members(output), {});
    assert.deepEqual(harness.calls, [
      ["suspend", MICROVM_ID],
      ["resume", MICROVM_ID],
      ["terminate", MICROVM_ID],
    ]);
  });

  it("sends every member on the wire, nulls included", async () => {
    const path = `/2025-09-09/microvms/${MICROVM_ID}`;
    const { headers, body } = await sendSigned(harness, { method: "GET", path });
    assert.equal(headers["content-type"], "application/json");
    assert.deepEqual(JSON.parse(body), {
      ...MICROVM,
      state: "RUNNING",
      startedAt: CREATED_AT / 1000,
      executionRoleArn: null,
      idlePolicy: null,
      terminatedAt: null,
      stateReason: null,
      terminationReasonCode: null,
    });
    const terminate = await sendSigned(harness, { method: "DELETE", path });
    assert.equal(terminate.body, "{}");
  });
});

describe("CreateMicrovmAuthToken", () => {
  const input = {
    microvmIdentifier: MICROVM_ID,
    expirationInMinutes: 60,
    allowedPorts: [{ port: 8080 }, { range: { startPort: 1, endPort: 2 } }, { allPorts: {} }],
  };

  it("mints a token for the microVM, its ports and its time", async () => {
    const earliest = Date.now() + 3_600_000;
    const output = await harness.lambda.send(new CreateMicrovmAuthTokenCommand(input));
    assert.deepEqual(output.authToken, { "X-aws-proxy-auth": `jwe-${harness.minted.length}` });
    const claims = harness.minted.at(-1);
    assert.equal(claims?.microvmId, MICROVM_ID);
    assert.deepEqual(claims && "ports" in claims && claims.ports, input.allowedPorts);
    const expiresAt = claims?.expiresAt ?? 0;
    assert.ok(expiresAt >= earliest && expiresAt <= Date.now() + 3_600_000);
  });

  for (const state of ["PENDING", "SUSPENDING", "SUSPENDED", "TERMINATING"] as const)
    it(`mints for a ${state} microVM`, async () => {
      await using other = await startHarness({
        microvms: { get: async () => microvmRecord({ state }) },
      });
      const output = await other.lambda.send(new CreateMicrovmAuthTokenCommand(input));
      assert.ok(output.authToken);
    });

  it("refuses a terminated microVM and mints nothing", async () => {
    await using other = await startHarness({
      microvms: { get: async () => microvmRecord({ state: "TERMINATED" }) },
    });
    await assert.rejects(other.lambda.send(new CreateMicrovmAuthTokenCommand(input)), {
      name: "ValidationException",
      message: `The MicroVM ${MICROVM_ID} has been terminated and its state cannot be changed.`,
    });
    assert.equal(other.minted.length, 0);
  });
});

describe("pagination", () => {
  it("a paginator walks all pages in order", async () => {
    const ids = Array.from({ length: 7 }, (_, index) => `microvm-${index}`);
    await using other = await startHarness({
      microvms: {
        async list(_scope, _filter, { maxResults, after }) {
          const start = after === null ? 0 : ids.indexOf(after) + 1;
          const items = ids.slice(start, start + maxResults);
          const next = start + maxResults < ids.length ? (items.at(-1) ?? null) : null;
          return { items: items.map((microvmId) => microvmRecord({ microvmId })), next };
        },
      },
    });
    const seen: (string | undefined)[] = [];
    const pages = paginateListMicrovms({ client: other.lambda, pageSize: 3 }, {});
    for await (const { items } of pages) seen.push(...(items ?? []).map((item) => item.microvmId));
    assert.deepEqual(seen, ids);

    const { nextToken } = await other.lambda.send(new ListMicrovmsCommand({ maxResults: 3 }));
    assert.ok(nextToken);
    for (const stranger of [
      new ListMicrovmsCommand({ nextToken, imageVersion: "2.0" }),
      new ListMicrovmImagesCommand({ nextToken }),
      new ListMicrovmsCommand({ nextToken: `${nextToken}x1` }),
      new ListMicrovmsCommand({ nextToken: "" }),
    ])
      await assert.rejects(
        other.lambda.send(stranger as ListMicrovmsCommand),
        { name: "ValidationException" },
        JSON.stringify(stranger.input),
      );
    const path = "/2025-09-09/microvms?nextToken=%3D%3D";
    const { status, body } = await sendSigned(other, { method: "GET", path });
    assert.deepEqual([status, body], [400, '{"message":null}']);
    assert.match(nextToken, /^[A-Za-z0-9_-]+$/);
  });
});

describe("other services of the port", () => {
  it("STS says who the caller is", async () => {
    const { Account, Arn, UserId } = await harness.sts.send(new GetCallerIdentityCommand({}));
    assert.deepEqual([Account, Arn, UserId], [ACCOUNT, `arn:aws:iam::${ACCOUNT}:root`, ACCOUNT]);
  });

  it("requests signed for s3 go to the artifact store", async () => {
    const raw = { method: "GET", path: "/bucket/key" };
    const { body, headers } = await sendSigned(harness, raw, { service: "s3" });
    assert.equal(body, "s3 was here");
    assert.ok(headers["x-amzn-requestid"]);
  });
});
