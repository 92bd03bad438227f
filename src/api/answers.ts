// From a request with its body to a reply: who calls is checked here, then the service that the signature names
// answers. Nothing of sockets and streams.

import { ServiceError } from "../errors.ts";
import type { MicrovmRecord, Scope } from "../microvms/records.ts";
import { errorReply } from "./core-errors.ts";
import type { Reply, WireError } from "./errors.ts";
import { rememberTexts } from "./json-text.ts";
import { answerOperation, splitUrl } from "./operation.ts";
import { createRouter } from "./router.ts";
import { type Probes, probeReply } from "./routes/probes.ts";
import type { RouteDeps } from "./routes/route.ts";
import { ROUTES } from "./routes/routes.ts";
import { stsReply, xmlErrorReply } from "./routes/sts.ts";
import { createAuthorizationReader } from "./sigv4-authorization.ts";
import { createSigningKeys } from "./signing-keys.ts";
import { type FindKey, peekService, type SignatureDeps, verifySignature } from "./sigv4.ts";
import { microvmWire } from "./wire.ts";

export interface AnswerDeps extends Omit<RouteDeps, "microvmText"> {
  readonly findKey: FindKey;
  /** Regions that there are; any unless given. */
  readonly regions?: readonly string[];
  /** Absent where nothing is watched: the service is then always ready, and has no metrics. */
  readonly probes?: Probes;
}

export interface ReceivedRequest {
  readonly method: string;
  /** Path and query as received. */
  readonly url: string;
  /** Names and values in turn, as received: repeated headers stay apart. */
  readonly headers: readonly string[];
  readonly requestId: string;
  /** Address of the client. */
  readonly peer?: string | undefined;
}

export interface SignedRequest extends ReceivedRequest {
  readonly service: string;
  readonly body: Buffer;
}

export interface Answers {
  /** The service that the signature names, not checked yet; undefined for an unsigned request. */
  serviceOf(request: ReceivedRequest): string | undefined;
  /** Rejects ACCESS_DENIED for everything but probes. */
  answerUnsigned(request: ReceivedRequest): Promise<Reply>;
  answer(request: SignedRequest): Promise<Reply>;
  /** A failure in the protocol of the service that was asked. */
  refusal(request: ReceivedRequest, error: WireError): Reply;
}

/** Regions become host names and directories, so only what looks like one is taken. */
const REGION = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;

/** The answers of the API over the domain in `deps`. */
export function createAnswers(deps: AnswerDeps): Answers {
  const operationDeps = {
    ...{ ...deps, findRoute: createRouter(ROUTES) },
    microvmText: rememberTexts((record: MicrovmRecord) =>
      microvmWire(record, deps.ingressAuthority),
    ),
  };
  const signatureDeps = {
    ...{ findKey: deps.findKey, now: () => deps.clock.now() },
    ...(deps.regions && { regions: deps.regions }),
    signingKeys: createSigningKeys(),
    readAuthorization: createAuthorizationReader(),
  };
  return {
    serviceOf: peekService,
    async answerUnsigned(request) {
      const { method, url, peer } = request;
      const reply = await probeReply(deps.probes, { method, path: splitUrl(url).path, peer });
      if (reply !== undefined) return reply;
      verifySignature(signatureDeps, request);
      throw new ServiceError("ACCESS_DENIED", "Missing Authentication Token");
    },
    async answer(request) {
      const scope = verifiedScope(signatureDeps, request);
      switch (request.service) {
        case "lambda":
          return answerOperation(operationDeps, scope, request);
        case "sts":
          return stsReply(scope.account, stsParameters(request), request.requestId);
        default:
          throw wrongService();
      }
    },
    refusal(request, error) {
      if (peekService(request) === "sts") return xmlErrorReply(error, request.requestId);
      return errorReply(splitUrl(request.url).path, error);
    },
  };
}

/** Whose request this is; the signature covers the body. */
function verifiedScope(
  deps: SignatureDeps & Pick<AnswerDeps, "regions">,
  request: SignedRequest,
): Scope {
  const { account, region, service } = verifySignature(deps, request);
  // The name that chose the way here was read leniently; what a signature covers depends on the service it is for.
  if (service !== request.service) throw wrongService();
  if (REGION.test(region) && (deps.regions?.includes(region) ?? true)) return { account, region };
  // The real service exists everywhere and says no more than this where microVMs are not offered.
  throw new ServiceError("ACCESS_DENIED", "No such region", { details: { wireMessage: null } });
}

function wrongService(): ServiceError {
  return new ServiceError(
    "ACCESS_DENIED",
    "Credential should be scoped to a service of this endpoint: lambda, s3 or sts.",
    { details: { exception: "InvalidSignatureException" } },
  );
}

/** Parameters of the query protocol, from the query and from a form body. */
function stsParameters({ url, body }: SignedRequest): URLSearchParams {
  const { query } = splitUrl(url);
  return new URLSearchParams([...query, ...new URLSearchParams(body.toString())]);
}
