// Network connectors as they travel, and what their cases begin with.

import type { Refusal, Step } from "../support/cases.ts";
import {
  type Expected,
  iso,
  type Json,
  matching,
  type Matcher,
  someText,
} from "../support/match.ts";
import {} from "./given.ts";
import { ACCOUNT, REGION, ROLE } from "./shapes.ts";

export type Input = Readonly<Record<string, Json>>;

export const ID = matching(/^nc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
/** The model's, which admits an ARN as well. */
export const NAME_PATTERN =
  "(arn:aws[a-zA-Z-]*:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:network-connector:[a-zA-Z0-9-_]+(:[1-9][0-9]*)?)|[a-zA-Z0-9_-]{1,64}";
export const arnOf = (idOrName: string) =>
  `arn:aws:lambda:${REGION}:${ACCOUNT}:network-connector:${idOrName}`;
export const VPC = {
  SubnetIds: ["subnet-0a", "subnet-0b"],
  SecurityGroupIds: ["sg-0a"],
  NetworkProtocol: "IPv4",
  AssociatedComputeResourceTypes: ["MicroVm"],
};
export const inVpc = (changes: Input = {}) => ({ VpcEgressConfiguration: { ...VPC, ...changes } });
export const GIVEN = {
  Name: "vpc",
  Configuration: inVpc(),
  OperatorRole: ROLE,
  ClientToken: "token-1",
};
export const IT = { Identifier: "<id>" };
export const KEPT = { id: "Id", arn: "Arn" };

export const connector = (changes: Readonly<Record<string, Expected>> = {}) => ({
  Arn: matching(new RegExp(`^${arnOf("nc-")}[0-9a-f-]{36}$`)),
  Name: "vpc",
  Id: ID,
  Configuration: inVpc(),
  OperatorRole: ROLE,
  State: "PENDING",
  ...changes,
});
export const described = (changes: Readonly<Record<string, Expected>> = {}) =>
  connector({
    State: "ACTIVE",
    StateReason: "Initial creation",
    Version: 1,
    LastModified: iso,
    ...changes,
  });
export const summary = (changes: Readonly<Record<string, Expected>> = {}) => ({
  Arn: someText,
  Name: "vpc",
  Id: ID,
  Type: "VPC_EGRESS",
  State: "ACTIVE",
  LastModified: iso,
  ...changes,
});
export const refused = (message: string | Matcher): Refusal => ({
  status: 400,
  type: "InvalidParameterValueException",
  body: { message },
});
export const inConflict = (message: string | Matcher): Refusal => ({
  status: 409,
  type: "ResourceConflictException",
  body: { message },
});
export const absent = (identifier: string): Refusal => ({
  status: 404,
  type: "ResourceNotFoundException",
  body: { Message: `Network connector not found for: ${identifier}` },
});
export const creating = (changes: Input, refusal: Refusal): Step => ({
  call: "CreateNetworkConnector",
  input: { ...GIVEN, ...changes },
  refusal,
});
export const without = (member: keyof typeof GIVEN): Input =>
  Object.fromEntries(Object.entries(GIVEN).filter(([name]) => name !== member));
export const withoutVpcMember = (member: keyof typeof VPC): Input => ({
  VpcEgressConfiguration: Object.fromEntries(
    Object.entries(VPC).filter(([name]) => name !== member),
  ),
});
export const aConnector = (changes: Input = {}): readonly Step[] => [
  { call: "CreateNetworkConnector", input: { ...GIVEN, ...changes }, keep: KEPT },
  { until: "GetNetworkConnector", input: IT, has: ["State", "ACTIVE"] },
];
