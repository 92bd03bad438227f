// The network connector operations over HTTP, from the signature to the database.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { createConnectorOperations } from "../../../src/connectors/create-operations.ts";
import { ConnectorProvisioning } from "../../../src/connectors/provisioning.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { openSqliteStore } from "../../../src/store/sqlite.ts";
import type { Store } from "../../../src/store/store.ts";
import { eventually } from "../scheduler/harness.ts";
import { type Harness, sendSigned, startHarness } from "./harness.ts";

const PATH = "/2026-04-04/network-connectors";
const ROLE = "arn:aws:iam::000000000000:role/operator";
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const VPC = {
  SubnetIds: ["subnet-0a"],
  SecurityGroupIds: ["sg-0a"],
  NetworkProtocol: "IPv4",
  AssociatedComputeResourceTypes: ["MicroVm"],
};

type Body = Record<string, unknown>;
interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly body: Body;
}

let harness: Harness;
let store: Store;
const stack = new AsyncDisposableStack();
before(async () => {
  const clock = systemClock();
  store = stack.use(await openSqliteStore(":memory:"));
  const { connectors } = store;
  const provisioning = stack.use(
    new ConnectorProvisioning({ connectors, clock, log: silentLog() }),
  );
  const operations = createConnectorOperations({
    ...{ connectors, clock, limit: 60 },
    onChangeWanted: () => provisioning.wake(),
  });
  harness = stack.use(await startHarness({ connectors: operations }));
});
after(() => stack.disposeAsync());

async function call(method: string, path = "", body?: object, region?: string): Promise<Answer> {
  const raw = { method, path: PATH + path, ...(body && { body: JSON.stringify(body) }) };
  const answer = await sendSigned(harness, raw, region === undefined ? {} : { region });
  const type = answer.headers["x-amzn-errortype"];
  return {
    status: answer.status,
    type: typeof type === "string" ? type : undefined,
    body: JSON.parse(answer.body) as Body,
  };
}

function creation(name: string, changes: object = {}) {
  return {
    Name: name,
    Configuration: { VpcEgressConfiguration: VPC },
    OperatorRole: ROLE,
    ClientToken: `token-${name}`,
    ...changes,
  };
}

async function createActive(name: string): Promise<Body> {
  const { status, body } = await call("POST", "", creation(name));
  assert.equal(status, 202);
  await eventually(async () => (await call("GET", `/${name}`)).body["State"] === "ACTIVE");
  return body;
}

describe("CreateNetworkConnector", () => {
  it("answers 202 and a PENDING connector without unset members", async () => {
    const { status, body } = await call("POST", "", creation("created"));
    const { Id, Arn, ...rest } = body;
    assert.equal(status, 202);
    assert.match(String(Id), /^nc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    assert.equal(Arn, `arn:aws:lambda:us-east-1:000000000000:network-connector:${String(Id)}`);
    assert.deepEqual(rest, {
      Name: "created",
      Configuration: { VpcEgressConfiguration: VPC },
      OperatorRole: ROLE,
      State: "PENDING",
    });
    const again = await call("POST", "", creation("created"));
    assert.deepEqual([again.status, again.body["Id"]], [202, Id]);
  });

  it("answers a constraint with ValidationException and camelCase paths", async () => {
    const configuration = { VpcEgressConfiguration: { ...VPC, SubnetIds: [] } };
    const answer = await call("POST", "", creation("x", { Configuration: configuration }));
    assert.deepEqual(answer, {
      status: 400,
      type: "ValidationException",
      body: {
        message:
          "1 validation error detected: Value '[]' at 'configuration.vpcEgressConfiguration.subnetIds' failed to satisfy constraint: Member must have length greater than or equal to 1",
      },
    });
  });

  it("demands what its model calls optional with InvalidParameterValueException", async () => {
    const { NetworkProtocol: _, ...noProtocol } = VPC;
    for (const [changes, message] of [
      [{ ClientToken: null }, "ClientToken is a required field"],
      [
        { OperatorRole: null },
        "NetworkConnectorOperatorRole is required for VPC_EGRESS connector type",
      ],
      [
        { Configuration: { VpcEgressConfiguration: noProtocol } },
        "NetworkProtocol cannot be null or empty",
      ],
    ] as const)
      assert.deepEqual(await call("POST", "", creation("x", changes)), {
        status: 400,
        type: "InvalidParameterValueException",
        body: { message },
      });
  });

  it("refuses a name in use and a token used otherwise with ResourceConflictException", async () => {
    await createActive("taken");
    for (const changes of [{ ClientToken: "another" }, { OperatorRole: `${ROLE}2` }]) {
      const answer = await call("POST", "", creation("taken", changes));
      assert.deepEqual([answer.status, answer.type], [409, "ResourceConflictException"]);
    }
  });
});

describe("GetNetworkConnector", () => {
  it("takes an id, a name or an ARN and tells state, version and time", async () => {
    const { Id, Arn } = await createActive("got");
    for (const identifier of [Id, "got", Arn, encodeURIComponent(String(Arn))]) {
      const { status, body } = await call("GET", `/${String(identifier)}`);
      const { LastModified, ...rest } = body;
      assert.equal(status, 200);
      assert.match(String(LastModified), ISO_TIME);
      assert.deepEqual(rest, {
        ...{ Id, Arn, Name: "got", State: "ACTIVE", StateReason: "Initial creation", Version: 1 },
        Configuration: { VpcEgressConfiguration: VPC },
        OperatorRole: ROLE,
      });
    }
  });

  it("answers 404 with Message and the ARN built from the identifier", async () => {
    const arn = "arn:aws:lambda:us-east-1:000000000000:network-connector:nobody";
    for (const identifier of ["nobody", arn])
      assert.deepEqual(await call("GET", `/${identifier}`), {
        status: 404,
        type: "ResourceNotFoundException",
        body: { Message: `Network connector not found for: ${arn}` },
      });
  });

  it("does not show connectors of another region", async () => {
    const { Id } = await createActive("here");
    assert.equal((await call("GET", `/${String(Id)}`, undefined, "eu-west-1")).status, 404);
  });
});

describe("UpdateNetworkConnector", () => {
  it("answers 202 InProgress, becomes Successful and counts the version", async () => {
    await createActive("updated");
    const vpc = { ...VPC, SubnetIds: ["subnet-0b"] };
    const update = { Configuration: { VpcEgressConfiguration: vpc }, ClientToken: "u" };
    const { status, body } = await call("PUT", "/updated", update);
    assert.equal(status, 202);
    assert.deepEqual([body["State"], body["LastUpdateStatus"]], ["ACTIVE", "InProgress"]);
    assert.match(String(body["LastModified"]), ISO_TIME);
    assert.deepEqual(body["Configuration"], update.Configuration);
    await eventually(async () => {
      const got = await call("GET", "/updated");
      return got.body["LastUpdateStatus"] === "Successful" && got.body["Version"] === 2;
    });
  });

  it("says when nothing changes", async () => {
    await createActive("same");
    const { status, body } = await call("PUT", "/same", { OperatorRole: ROLE });
    assert.equal(status, 202);
    assert.equal(body["LastUpdateStatus"], "Successful");
    assert.equal(body["LastUpdateStatusReason"], "No configuration changes detected");
  });
});

describe("DeleteNetworkConnector", () => {
  it("answers 202 DELETING, then the connector is gone", async () => {
    const { Id } = await createActive("deleted");
    const { status, body } = await call("DELETE", "/deleted");
    assert.deepEqual([status, body["State"], body["Id"]], [202, "DELETING", Id]);
    await eventually(async () => (await call("GET", "/deleted")).status === 404);
    assert.equal((await call("DELETE", "/deleted")).type, "ResourceNotFoundException");
  });
});

describe("ListNetworkConnectors", () => {
  const region = "eu-central-1";
  const page = (query: string) => call("GET", query, undefined, region);
  const namesOf = ({ body }: Answer) =>
    (body["NetworkConnectors"] as Body[]).map(({ Name }) => Name);

  it("pages through summaries and leaves NextMarker out at the end", async () => {
    assert.deepEqual((await page("")).body, { NetworkConnectors: [] });
    for (const name of ["c", "a", "b"]) await call("POST", "", creation(name), region);
    await eventually(async () => (await store.connectors.listUnsettled()).length === 0);
    const first = await page("?MaxItems=2");
    assert.deepEqual([first.status, namesOf(first)], [200, ["a", "b"]]);
    const marker = String(first.body["NextMarker"]);
    const second = await page(`?MaxItems=2&Marker=${marker}`);
    assert.deepEqual([namesOf(second), "NextMarker" in second.body], [["c"], false]);
    const [{ Id, Arn, LastModified, ...rest } = {}] = second.body["NetworkConnectors"] as Body[];
    assert.ok(String(Arn).endsWith(`:${String(Id)}`));
    assert.match(String(LastModified), ISO_TIME);
    assert.deepEqual(rest, { Name: "c", Type: "VPC_EGRESS", State: "ACTIVE" });
    assert.deepEqual(namesOf(await page("?State=ACTIVE")), ["a", "b", "c"]);
    assert.deepEqual(namesOf(await page("?State=FAILED")), []);
    for (const foreign of [`?State=ACTIVE&Marker=${marker}`, "?Marker=x"]) {
      const { status, type, body } = await page(foreign);
      assert.deepEqual([status, type], [400, "InvalidParameterValueException"]);
      assert.equal(body["message"], "Invalid Marker");
    }
  });

  it("puts at most fifty on a page and keeps to the quota", async () => {
    const many = "ap-south-1";
    for (let index = 0; index < 60; index += 1)
      assert.equal((await call("POST", "", creation(`n${index}`), many)).status, 202);
    const { body } = await call("GET", "?MaxItems=100", undefined, many);
    assert.equal((body["NetworkConnectors"] as Body[]).length, 50);
    assert.ok(body["NextMarker"]);
    const refused = await call("POST", "", creation("one-more"), many);
    assert.deepEqual(
      [refused.status, refused.type],
      [400, "NetworkConnectorLimitExceededException"],
    );
  });
});
