// A service over the real domain, with a store in memory and a host without machines, and what a client does with its
// images.

import {
  CreateMicrovmImageCommand,
  GetMicrovmImageCommand,
  type LambdaMicrovmsClient,
  UpdateMicrovmImageCommand,
} from "@aws-sdk/client-lambda-microvms";
import type { CreateConnectorInput } from "../../../src/connectors/operations.ts";
import type { ConnectorRecord } from "../../../src/connectors/records.ts";
import { createDomain, type DomainDeps } from "../../../src/domain.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { openSqliteStore } from "../../../src/store/sqlite.ts";
import { createFakeHost, type HostCall } from "../../fixtures/fake-host.ts";
import { ACCOUNT, BASE_ARN, IMAGE_ARN, REGION, ROLE_ARN } from "../../unit/api/fixtures.ts";
import { eventually } from "../scheduler/harness.ts";
import { startHarness } from "./harness.ts";

export const CONFIGURATION = {
  baseImageArn: BASE_ARN,
  buildRoleArn: ROLE_ARN,
  codeArtifact: { uri: "s3://code/flask.zip" },
};
const SCOPE = { account: ACCOUNT, region: REGION };
const CONNECTOR: CreateConnectorInput = {
  name: "vpc",
  operatorRole: ROLE_ARN,
  clientToken: "vpc",
  configuration: {
    subnetIds: ["subnet-0a"],
    networkProtocol: "IPv4",
    associatedComputeResourceTypes: ["MicroVm"],
  },
};
export const image = { imageIdentifier: IMAGE_ARN };
/** A service over a real domain, and what a client does with it. */
export async function setUp(quotas: Partial<DomainDeps["config"]["quotas"]> = {}) {
  await using acquired = new AsyncDisposableStack();
  const store = acquired.use(await openSqliteStore(":memory:"));
  const host = createFakeHost();
  const config = {
    terminatedRetentionHours: 24,
    ingress: { waitSeconds: 30 },
    quotas: { images: 2, versionsPerImage: 3, memoryMiB: 409_600, networkConnectors: 1, ...quotas },
  };
  const domain = acquired.use(
    createDomain({ store, host, clock: systemClock(), log: silentLog(), config }),
  );
  await domain.start(new AbortController().signal);
  const harness = acquired.use(
    await startHarness({
      microvms: domain.microvms,
      images: domain.images,
      connectors: domain.connectors,
    }),
  );
  const { lambda } = harness;
  const resources = acquired.move();
  const releases: (() => void)[] = [];
  return {
    host,
    store,
    harness,
    lambda,
    async create(name = "flask", tags?: Record<string, string>): Promise<void> {
      const input = { name, ...CONFIGURATION, ...(tags && { tags }) };
      const { imageArn } = await lambda.send(new CreateMicrovmImageCommand(input));
      await atRest(lambda, imageArn ?? "");
    },
    /** A further version of the image, built. */
    async update(): Promise<string> {
      const input = { ...image, ...CONFIGURATION };
      const { imageVersion } = await lambda.send(new UpdateMicrovmImageCommand(input));
      await atRest(lambda, IMAGE_ARN);
      return imageVersion ?? "";
    },
    /** A connector of the customer's own, ACTIVE. */
    async connector(tags: Record<string, string> = {}): Promise<ConnectorRecord> {
      const { connectorId } = await domain.connectors.create(SCOPE, { ...CONNECTOR, tags });
      const isActive = async () =>
        (await store.connectors.find(SCOPE, connectorId))?.state === "ACTIVE";
      await eventually(isActive);
      return domain.connectors.get(SCOPE, connectorId);
    },
    atRest: () => atRest(lambda, IMAGE_ARN),
    get: () => lambda.send(new GetMicrovmImageCommand(image)),
    /** Keeps the host from going on until the returned function is called, or the test ends. */
    hold(call: HostCall): () => void {
      const release = host.hold(call);
      releases.push(release);
      return release;
    },
    [Symbol.asyncDispose]: async () => {
      // A removal that is still held would be waited for without end.
      for (const release of releases) release();
      await resources.disposeAsync();
    },
  };
}

async function atRest(lambda: LambdaMicrovmsClient, imageIdentifier: string): Promise<void> {
  await eventually(async () => {
    const { state } = await lambda.send(new GetMicrovmImageCommand({ imageIdentifier }));
    return !/ING$/.test(state ?? "");
  });
}

/** What the SDK read, without its metadata and the members that came as null. */
export function members(output: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(output).filter(
      ([name, value]) => name !== "$metadata" && value !== undefined && value !== null,
    ),
  );
}
