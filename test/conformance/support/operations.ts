// Every operation of the three API families and of STS, as the service's models have them: where each answers, with
// which status, and which members of its input travel outside the body.

export interface Operation {
  readonly family: "lambda-microvms" | "lambda-core" | "sts";
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** `{name}` segments are members of the input. */
  readonly path: string;
  readonly status: number;
  readonly query: readonly string[];
  /** Names of parameters that are not those of their members. */
  readonly parameters?: Readonly<Record<string, string>>;
}

const IMAGES = "/2025-09-09/microvm-images";
const IMAGE = `${IMAGES}/{imageIdentifier}`;
const VERSIONS = `${IMAGE}/versions`;
const VERSION = `${VERSIONS}/{imageVersion}`;
const BUILDS = `${VERSION}/builds`;
const MANAGED = "/2025-09-09/managed-microvm-images";
const MICROVMS = "/2025-09-09/microvms";
const MICROVM = `${MICROVMS}/{microvmIdentifier}`;
const TAGS = "/2017-03-31/tags/{Resource}";
const CONNECTORS = "/2026-04-04/network-connectors";
const CONNECTOR = `${CONNECTORS}/{Identifier}`;
const PAGE = ["maxResults", "nextToken"];

const microvms = (
  method: Operation["method"],
  path: string,
  { status = 200, query = [], ...rest }: Partial<Operation> = {},
): Operation => ({ family: "lambda-microvms", method, path, status, query, ...rest });
const core = (
  method: Operation["method"],
  path: string,
  { status = 200, query = [] }: Partial<Operation> = {},
): Operation => ({ family: "lambda-core", method, path, status, query });

const targets = ["architecture", "chipset", "chipsetGeneration"];
const ofImage = ["imageIdentifier", "imageVersion"];

export const OPERATIONS = {
  CreateMicrovmImage: microvms("POST", IMAGES, { status: 201 }),
  GetMicrovmImage: microvms("GET", IMAGE),
  UpdateMicrovmImage: microvms("PUT", IMAGE),
  DeleteMicrovmImage: microvms("DELETE", IMAGE),
  ListMicrovmImages: microvms("GET", IMAGES, { query: [...PAGE, "nameFilter"] }),
  GetMicrovmImageVersion: microvms("GET", VERSION),
  ListMicrovmImageVersions: microvms("GET", VERSIONS, { query: PAGE }),
  UpdateMicrovmImageVersion: microvms("PATCH", VERSION),
  DeleteMicrovmImageVersion: microvms("DELETE", VERSION),
  ListMicrovmImageBuilds: microvms("GET", BUILDS, { query: [...PAGE, ...targets] }),
  GetMicrovmImageBuild: microvms("GET", `${BUILDS}/{buildId}`),
  ListManagedMicrovmImages: microvms("GET", MANAGED, { query: PAGE }),
  ListManagedMicrovmImageVersions: microvms("GET", `${MANAGED}/{imageIdentifier}/versions`, {
    query: PAGE,
  }),
  RunMicrovm: microvms("POST", MICROVMS),
  GetMicrovm: microvms("GET", MICROVM),
  ListMicrovms: microvms("GET", MICROVMS, { query: [...PAGE, ...ofImage] }),
  SuspendMicrovm: microvms("POST", `${MICROVM}/suspend`),
  ResumeMicrovm: microvms("POST", `${MICROVM}/resume`),
  TerminateMicrovm: microvms("DELETE", MICROVM),
  CreateMicrovmAuthToken: microvms("POST", `${MICROVM}/auth-token`),
  CreateMicrovmShellAuthToken: microvms("POST", `${MICROVM}/shell-auth-token`),
  TagResource: microvms("POST", TAGS, { status: 204 }),
  UntagResource: microvms("DELETE", TAGS, {
    status: 204,
    query: ["TagKeys"],
    parameters: { TagKeys: "tagKeys" },
  }),
  ListTags: microvms("GET", TAGS),
  CreateNetworkConnector: core("POST", CONNECTORS, { status: 202 }),
  GetNetworkConnector: core("GET", CONNECTOR),
  ListNetworkConnectors: core("GET", CONNECTORS, { query: ["State", "Marker", "MaxItems"] }),
  UpdateNetworkConnector: core("PUT", CONNECTOR, { status: 202 }),
  DeleteNetworkConnector: core("DELETE", CONNECTOR, { status: 202 }),
  GetCallerIdentity: { family: "sts", method: "POST", path: "/", status: 200, query: [] },
} as const satisfies Readonly<Record<string, Operation>>;

export type OperationName = keyof typeof OPERATIONS;
