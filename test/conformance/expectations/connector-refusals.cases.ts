// Network connectors: failures of their own, and client tokens.

import type { Case } from "../support/cases.ts";
import { someText } from "../support/match.ts";
import {
  NAME_PATTERN,
  arnOf,
  inVpc,
  GIVEN,
  connector,
  refused,
  inConflict,
  absent,
  creating,
  without,
  withoutVpcMember,
  aConnector,
} from "./connector-shapes.ts";
import {} from "./given.ts";
import { at, missing, violates } from "./refusals.ts";

export const CONNECTOR_REFUSAL_CASES: readonly Case[] = [
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
    name: "Connectors beyond the quota answer 400 NetworkConnectorLimitExceededException",
    service: { quotas: { networkConnectors: 1 } },
    steps: [
      ...aConnector(),
      creating(
        { Name: "second", ClientToken: "token-2" },
        {
          status: 400,
          type: "NetworkConnectorLimitExceededException",
          body: { message: someText },
        },
      ),
    ],
  },
];
