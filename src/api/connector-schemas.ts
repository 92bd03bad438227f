// The input of the network connector operations. Their members travel in PascalCase, but violations
// name them in camelCase, so the schemas rename them first. Members stand in the order of schemas.ts.

import { z } from "zod";
import type { CreateConnectorInput, UpdateConnectorInput } from "../connectors/operations.ts";
import { CONNECTOR_STATES } from "../connectors/state.ts";
import {
  oneOf,
  queryInteger,
  shaped,
  structure,
  text,
  textList,
  textMap,
  union,
} from "./shapes.ts";

/** A page holds no more, whatever is asked for. */
const PAGE_SIZE = 50;
const MAX_PAGE_SIZE = 100;

const TAG_PATTERN = "([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)";
const NAME_PATTERN =
  "(arn:aws[a-zA-Z-]*:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:network-connector:[a-zA-Z0-9-_]+(:[1-9][0-9]*)?)|[a-zA-Z0-9_-]{1,64}";

/** A structure whose members are spelled `LikeThis` on the wire; others are ignored, as unknown ones are. */
function coreStructure<T extends z.ZodRawShape>(shape: T) {
  return z
    .preprocess(withMemberNames, structure(shape))
    .meta(shaped({ kind: "structure", members: shape, spelling: "PascalCase" }));
}

function withMemberNames(raw: unknown): unknown {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) return raw;
  return Object.fromEntries(
    Object.entries(raw)
      .filter(([name]) => /^[A-Z]/.test(name))
      .map(([name, value]: [string, unknown]) => [
        name.charAt(0).toLowerCase() + name.slice(1),
        value,
      ]),
  );
}

const vpcEgressConfiguration = () =>
  coreStructure({
    securityGroupIds: textList(text({ min: 0, max: 1024, pattern: "sg-[0-9a-zA-Z]*" }), {
      max: 5,
    }).exactOptional(),
    associatedComputeResourceTypes: textList(oneOf(["MicroVm"]), {
      min: 1,
      max: 1,
    }).exactOptional(),
    networkProtocol: oneOf(["IPv4", "DualStack"]).exactOptional(),
    subnetIds: textList(text({ min: 0, max: 1024, pattern: "subnet-[0-9a-z]*" }), {
      min: 1,
      max: 16,
    }).exactOptional(),
  });
const configuration = () => {
  const members = { vpcEgressConfiguration: vpcEgressConfiguration().exactOptional() };
  return z
    .preprocess(withMemberNames, union(members))
    .meta(shaped({ kind: "union", members, spelling: "PascalCase" }))
    .transform((given) => given.vpcEgressConfiguration ?? {});
};
const operatorRole = () =>
  text({
    min: 0,
    max: 10_000,
    pattern: "arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+",
  }).exactOptional();
const clientToken = () => text({ min: 1, max: 64 }).exactOptional();
const identifier = () => text({ min: 1, max: 140 });

export const createNetworkConnector: z.ZodType<CreateConnectorInput> = coreStructure({
  configuration: configuration(),
  clientToken: clientToken(),
  name: text({ min: 1, max: 140, pattern: NAME_PATTERN }),
  operatorRole: operatorRole(),
  tags: textMap(
    text({ min: 1, max: 128, pattern: TAG_PATTERN }),
    text({ min: 0, max: 256, pattern: TAG_PATTERN }),
  ).exactOptional(),
});

export const updateNetworkConnector: z.ZodType<UpdateConnectorInput & { identifier: string }> =
  coreStructure({
    identifier: identifier(),
    configuration: configuration().exactOptional(),
    clientToken: clientToken(),
    operatorRole: operatorRole(),
  });

export const connectorInput = coreStructure({ identifier: identifier() });

export const listNetworkConnectors = coreStructure({
  maxItems: queryInteger({ min: 1, max: MAX_PAGE_SIZE })
    .default(PAGE_SIZE)
    .transform((asked) => Math.min(asked, PAGE_SIZE)),
  marker: text().exactOptional(),
  state: oneOf(CONNECTOR_STATES).exactOptional(),
});
