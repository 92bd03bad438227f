// Network connectors: an API family with capitals, without nulls, and with failures of its own.

import type { Case, Refusal, Step } from "../support/cases.ts";
import {
  epoch,
  type Expected,
  iso,
  type Json,
  matching,
  type Matcher,
  someText,
} from "../support/match.ts";
import { anImage } from "./given.ts";
import { at, invalid, missing, notFound, violates } from "./refusals.ts";
import { ACCOUNT, createdImage, FLASK, microvm, REGION, REQUIRED, ROLE } from "./shapes.ts";

type Input = Readonly<Record<string, Json>>;

const ID = matching(/^nc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
/** The model's, which admits an ARN as well. */
const NAME_PATTERN =
  "(arn:aws[a-zA-Z-]*:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:network-connector:[a-zA-Z0-9-_]+(:[1-9][0-9]*)?)|[a-zA-Z0-9_-]{1,64}";
const arnOf = (idOrName: string) =>
  `arn:aws:lambda:${REGION}:${ACCOUNT}:network-connector:${idOrName}`;
const VPC = {
  SubnetIds: ["subnet-0a", "subnet-0b"],
  SecurityGroupIds: ["sg-0a"],
  NetworkProtocol: "IPv4",
  AssociatedComputeResourceTypes: ["MicroVm"],
};
const inVpc = (changes: Input = {}) => ({ VpcEgressConfiguration: { ...VPC, ...changes } });
const GIVEN = { Name: "vpc", Configuration: inVpc(), OperatorRole: ROLE, ClientToken: "token-1" };
const IT = { Identifier: "<id>" };
const KEPT = { id: "Id", arn: "Arn" };

const connector = (changes: Readonly<Record<string, Expected>> = {}) => ({
  Arn: matching(new RegExp(`^${arnOf("nc-")}[0-9a-f-]{36}$`)),
  Name: "vpc",
  Id: ID,
  Configuration: inVpc(),
  OperatorRole: ROLE,
  State: "PENDING",
  ...changes,
});
const described = (changes: Readonly<Record<string, Expected>> = {}) =>
  connector({
    State: "ACTIVE",
    StateReason: "Initial creation",
    Version: 1,
    LastModified: iso,
    ...changes,
  });
const summary = (changes: Readonly<Record<string, Expected>> = {}) => ({
  Arn: someText,
  Name: "vpc",
  Id: ID,
  Type: "VPC_EGRESS",
  State: "ACTIVE",
  LastModified: iso,
  ...changes,
});
const refused = (message: string | Matcher): Refusal => ({
  status: 400,
  type: "InvalidParameterValueException",
  body: { Type: "User", message },
});
const inConflict = (message: string | Matcher): Refusal => ({
  status: 409,
  type: "ResourceConflictException",
  body: { Type: "User", message },
});
const absent = (identifier: string): Refusal => ({
  status: 404,
  type: "ResourceNotFoundException",
  body: { Type: "User", Message: `Network connector not found for: ${identifier}` },
});
const creating = (changes: Input, refusal: Refusal): Step => ({
  call: "CreateNetworkConnector",
  input: { ...GIVEN, ...changes },
  refusal,
});
const without = (member: keyof typeof GIVEN): Input =>
  Object.fromEntries(Object.entries(GIVEN).filter(([name]) => name !== member));
const withoutVpcMember = (member: keyof typeof VPC): Input => ({
  VpcEgressConfiguration: Object.fromEntries(
    Object.entries(VPC).filter(([name]) => name !== member),
  ),
});
const aConnector = (changes: Input = {}): readonly Step[] => [
  { call: "CreateNetworkConnector", input: { ...GIVEN, ...changes }, keep: KEPT },
  { until: "GetNetworkConnector", input: IT, has: ["State", "ACTIVE"] },
];

export const CONNECTOR_CASES: readonly Case[] = [
  {
    name: "CreateNetworkConnector answers 202 PENDING without members that are unset",
    steps: [{ call: "CreateNetworkConnector", input: GIVEN, answer: connector() }],
  },
  {
    name: "CreateNetworkConnector leaves out security groups that were not given",
    steps: [
      {
        call: "CreateNetworkConnector",
        input: { ...GIVEN, Configuration: withoutVpcMember("SecurityGroupIds") },
        answer: connector({ Configuration: withoutVpcMember("SecurityGroupIds") }),
      },
    ],
  },
  {
    name: "GetNetworkConnector takes id, name or ARN and tells reason, version and an ISO time",
    steps: [
      ...aConnector(),
      ...["<id>", "vpc", "<arn>", "<arn>:1"].map((Identifier) => ({
        call: "GetNetworkConnector" as const,
        input: { Identifier },
        answer: described({ Id: "<id>", Arn: "<arn>" }),
      })),
    ],
  },
  {
    name: "Connector operations answer 404 with Message and the ARN built from the identifier",
    steps: [
      {
        call: "GetNetworkConnector",
        input: { Identifier: "absent" },
        refusal: absent(arnOf("absent")),
      },
      {
        call: "GetNetworkConnector",
        input: { Identifier: arnOf("absent") },
        refusal: absent(arnOf("absent")),
      },
      {
        call: "UpdateNetworkConnector",
        input: { Identifier: "absent", Configuration: inVpc() },
        refusal: absent(arnOf("absent")),
      },
      {
        call: "DeleteNetworkConnector",
        input: { Identifier: "absent" },
        refusal: absent(arnOf("absent")),
      },
      ...aConnector(),
      {
        call: "GetNetworkConnector",
        input: { Identifier: "<arn>:2" },
        refusal: absent("<arn>:2"),
      },
    ],
  },
  {
    name: "CreateNetworkConnector demands what its model calls optional",
    steps: [
      {
        call: "CreateNetworkConnector",
        input: without("OperatorRole"),
        refusal: refused("NetworkConnectorOperatorRole is required for VPC_EGRESS connector type"),
      },
      creating(
        { Configuration: withoutVpcMember("NetworkProtocol") },
        refused("NetworkProtocol cannot be null or empty"),
      ),
      creating(
        { Configuration: withoutVpcMember("AssociatedComputeResourceTypes") },
        refused("AssociatedComputeResourceTypes cannot be null or empty"),
      ),
    ],
  },
  {
    name: "Constraints of connectors answer ValidationException with camelCase paths, all in one message",
    steps: [
      {
        call: "CreateNetworkConnector",
        input: { ClientToken: "t" },
        refusal: violates(missing("configuration"), missing("name")),
      },
      creating(
        { Configuration: inVpc({ SubnetIds: Array<string>(17).fill("subnet-0a") }) },
        violates(
          at(
            "configuration.vpcEgressConfiguration.subnetIds",
            "have length less than or equal to 16",
            `[${Array<string>(17).fill("subnet-0a").join(", ")}]`,
          ),
        ),
      ),
      creating(
        { Configuration: inVpc({ SubnetIds: [] }) },
        violates(
          at(
            "configuration.vpcEgressConfiguration.subnetIds",
            "have length greater than or equal to 1",
            "[]",
          ),
        ),
      ),
      creating(
        { Configuration: inVpc({ SecurityGroupIds: Array<string>(6).fill("sg-0a") }) },
        violates(
          at(
            "configuration.vpcEgressConfiguration.securityGroupIds",
            "have length less than or equal to 5",
            "[sg-0a, sg-0a, sg-0a, sg-0a, sg-0a, sg-0a]",
          ),
        ),
      ),
      creating(
        { Configuration: inVpc({ NetworkProtocol: "IPv6" }) },
        violates(
          at(
            "configuration.vpcEgressConfiguration.networkProtocol",
            "satisfy enum value set: [IPv4, DualStack]",
            "IPv6",
          ),
        ),
      ),
      creating(
        { ClientToken: "t".repeat(65) },
        violates(at("clientToken", "have length less than or equal to 64")),
      ),
      {
        call: "GetNetworkConnector",
        input: { Identifier: "i".repeat(141) },
        refusal: violates(
          at("identifier", "have length less than or equal to 140", "i".repeat(141)),
        ),
      },
    ],
  },
  {
    name: "A connector's name has 1 to 64 characters and is taken once",
    steps: [
      creating(
        { Name: "n".repeat(65) },
        violates(at("name", `satisfy regular expression pattern: ${NAME_PATTERN}`, "n".repeat(65))),
      ),
      ...aConnector(),
      creating(
        { ClientToken: "token-2" },
        inConflict("A network connector with the name 'vpc' already exists in this account"),
      ),
    ],
  },
  {
    name: "ClientToken replays a creation, and refuses it with other parameters, also after a restart",
    steps: [
      ...aConnector(),
      {
        call: "CreateNetworkConnector",
        input: GIVEN,
        answer: connector({ Id: "<id>", Arn: "<arn>", State: "ACTIVE" }),
      },
      creating(
        { Name: "other" },
        inConflict("The provided clientToken was used with different request parameters"),
      ),
      { service: "restart" },
      {
        call: "CreateNetworkConnector",
        input: GIVEN,
        answer: connector({ Id: "<id>", Arn: "<arn>", State: "ACTIVE" }),
      },
    ],
  },
  {
    name: "ListNetworkConnectors pages through summaries and leaves NextMarker out at the end",
    steps: [
      { call: "ListNetworkConnectors", answer: { NetworkConnectors: [] } },
      ...aConnector(),
      ...aConnector({ Name: "vpc-2", ClientToken: "token-2" }),
      {
        call: "ListNetworkConnectors",
        input: { MaxItems: 1 },
        answer: { NetworkConnectors: [summary({ Name: someText })], NextMarker: someText },
        keep: { marker: "NextMarker" },
      },
      {
        call: "ListNetworkConnectors",
        input: { MaxItems: 1, Marker: "<marker>" },
        answer: { NetworkConnectors: [summary({ Name: someText })] },
      },
      {
        call: "ListNetworkConnectors",
        input: { State: "FAILED" },
        answer: { NetworkConnectors: [] },
      },
      { call: "ListNetworkConnectors", as: "other", answer: { NetworkConnectors: [] } },
      {
        call: "ListNetworkConnectors",
        input: { MaxItems: 100 },
        answer: {
          NetworkConnectors: [summary({ Name: someText }), summary({ Name: someText })],
        },
      },
      {
        call: "ListNetworkConnectors",
        input: { MaxItems: 101 },
        refusal: violates(at("maxItems", "have value less than or equal to 100", "101")),
      },
      {
        call: "ListNetworkConnectors",
        input: { Marker: "made-up" },
        refusal: refused("Invalid Marker"),
      },
    ],
  },
  {
    name: "UpdateNetworkConnector answers 202 InProgress; the connector stays ACTIVE, its version counts on",
    steps: [
      ...aConnector(),
      {
        call: "UpdateNetworkConnector",
        input: { ...IT, Configuration: inVpc({ NetworkProtocol: "DualStack" }) },
        answer: connector({
          State: "ACTIVE",
          Configuration: inVpc({ NetworkProtocol: "DualStack" }),
          LastModified: iso,
          LastUpdateStatus: "InProgress",
        }),
      },
      { until: "GetNetworkConnector", input: IT, has: ["LastUpdateStatus", "Successful"] },
      {
        call: "GetNetworkConnector",
        input: IT,
        answer: described({
          Version: 2,
          Configuration: inVpc({ NetworkProtocol: "DualStack" }),
          LastUpdateStatus: "Successful",
        }),
      },
    ],
  },
  {
    name: "UpdateNetworkConnector says when nothing changes",
    steps: [
      ...aConnector(),
      {
        call: "UpdateNetworkConnector",
        input: { ...IT, Configuration: inVpc() },
        answer: connector({
          State: "ACTIVE",
          LastModified: iso,
          LastUpdateStatus: "Successful",
          LastUpdateStatusReason: "No configuration changes detected",
        }),
      },
      { call: "GetNetworkConnector", input: IT, answer: described() },
    ],
  },
  {
    name: "DeleteNetworkConnector answers 202 DELETING, then the connector is gone",
    steps: [
      ...aConnector(),
      { call: "DeleteNetworkConnector", input: IT, answer: connector({ State: "DELETING" }) },
      { until: "GetNetworkConnector", input: IT, has: "refused" },
      { call: "GetNetworkConnector", input: IT, refusal: absent(arnOf("<id>")) },
      { call: "DeleteNetworkConnector", input: IT, refusal: absent(arnOf("<id>")) },
    ],
  },
  {
    name: "Connectors beyond the quota answer 400 NetworkConnectorLimitExceededException",
    service: { quotas: { networkConnectors: 1 } },
    steps: [
      ...aConnector(),
      creating(
        { Name: "second", ClientToken: "token-2" },
        {
          status: 400,
          type: "NetworkConnectorLimitExceededException",
          body: { Type: "User", message: someText },
        },
      ),
    ],
  },
  {
    name: "Tags of a connector are merged, removed and listed",
    steps: [
      ...aConnector({ Tags: { a: "1" } }),
      { call: "TagResource", input: { Resource: "<arn>", Tags: { b: "2" } } },
      { call: "ListTags", input: { Resource: "<arn>" }, answer: { Tags: { a: "1", b: "2" } } },
      { call: "UntagResource", input: { Resource: "<arn>", TagKeys: ["a"] } },
      { call: "ListTags", input: { Resource: "<arn>" }, answer: { Tags: { b: "2" } } },
    ],
  },
  {
    name: "A connector of one's own can be given to images and microVMs once it is ACTIVE",
    steps: [
      ...aConnector(),
      ...anImage(),
      {
        call: "RunMicrovm",
        input: { imageIdentifier: FLASK, egressNetworkConnectors: ["<arn>"] },
        answer: microvm({ state: "PENDING", egressNetworkConnectors: ["<arn>"] }),
      },
      {
        call: "CreateMicrovmImage",
        input: { ...REQUIRED, name: "closed", egressNetworkConnectors: ["<arn>"] },
        answer: createdImage({
          name: "closed",
          imageArn: someText,
          egressNetworkConnectors: ["<arn>"],
          createdAt: epoch,
        }),
      },
      {
        call: "RunMicrovm",
        input: { imageIdentifier: FLASK, ingressNetworkConnectors: ["<arn>"] },
        refusal: invalid(someText),
      },
      {
        call: "RunMicrovm",
        input: { imageIdentifier: FLASK, egressNetworkConnectors: [arnOf("nc-absent")] },
        refusal: notFound(`Network connector not found for: ${arnOf("nc-absent")}`),
      },
    ],
  },
];
