// Decides whether a request may pass and to which microVM and port. The order is fixed: token, then microVM, then port,
// and only then anything that touches the microVM; a caller without a good token learns nothing about it.

import { type Known, whenKnown } from "../lib/known.ts";
import { hasIngress } from "../microvms/connectors.ts";
import type { MicrovmRecord } from "../microvms/records.ts";
import type { Traffic } from "../microvms/traffic.ts";
import { isTokenForm } from "../tokens/jwe-tokens.ts";
import type { TokenClaims, Tokens } from "../tokens/tokens.ts";
import type { RequestHost } from "./hostname.ts";
import { DEFAULT_PORT, isPortGranted, parsePort } from "./ports.ts";
import { invalidPort, type Refusal, REFUSALS } from "./refusal.ts";
import type { Subprotocols } from "./subprotocols.ts";

export interface AdmissionDeps {
  readonly traffic: Pick<Traffic, "findById">;
  readonly tokens: Pick<Tokens, "open">;
}

/** What a request says about its target, whichever HTTP version it came in. */
export interface AdmissionRequest {
  /** What `Host`, or `:authority`, says. */
  readonly host: RequestHost;
  /** `X-aws-proxy-auth`. */
  readonly token: string | undefined;
  /** `X-aws-proxy-port`. */
  readonly port: string | undefined;
  /** Offered sub-protocols of a WebSocket handshake; none on other requests. */
  readonly subprotocols: Subprotocols;
}

export interface Admission {
  readonly kind: "admitted";
  readonly record: MicrovmRecord;
  readonly port: number;
}

/** The bearer of a shell token, whatever it asks for. */
export interface ShellAdmission {
  readonly kind: "shell";
  readonly record: MicrovmRecord;
}

export interface AdmissionRules {
  /** Treated as closed whatever the token grants. */
  readonly refusedPorts: ReadonlySet<number>;
}

/** Admits or refuses a request. */
export function admit(
  deps: AdmissionDeps,
  request: AdmissionRequest,
  rules: AdmissionRules,
): Known<Admission | ShellAdmission | Refusal> {
  const token = request.token ?? request.subprotocols.token;
  if (token === undefined) return REFUSALS.missingAuthentication;
  return whenKnown(deps.tokens.open(token), (claims) => {
    if (claims === undefined)
      return isTokenForm(token) ? REFUSALS.tokenFailed : REFUSALS.missingAuthentication;
    // Looked up by the token alone and then compared with the host, so that an unknown host and a host of another
    // microVM take the same path.
    const found = deps.traffic.findById(claims.microvmId);
    return whenKnown(found, (record) => admitTo(record, claims, request, rules));
  });
}

function admitTo(
  record: MicrovmRecord | undefined,
  claims: TokenClaims,
  request: AdmissionRequest,
  { refusedPorts }: AdmissionRules,
): Admission | ShellAdmission | Refusal {
  if (record === undefined || !isMeant(record, request.host)) {
    return REFUSALS.tokenFailed;
  }
  const { ingressNetworkConnectors: connectors } = record;
  if ("shell" in claims)
    return hasIngress(connectors, "SHELL_INGRESS")
      ? { kind: "shell", record }
      : REFUSALS.tokenFailed;
  if (!takesTraffic(connectors)) return REFUSALS.tokenFailed;
  const givenPort = request.port ?? request.subprotocols.port;
  const port = givenPort === undefined ? DEFAULT_PORT : parsePort(givenPort);
  if (port === undefined) return invalidPort(givenPort ?? "");
  if (!isPortGranted(claims.ports, port)) return REFUSALS.portDenied;
  if (refusedPorts.has(port)) return REFUSALS.appConnectFailed;
  return { kind: "admitted", record, port };
}

function isMeant(record: MicrovmRecord, host: RequestHost): boolean {
  switch (host.kind) {
    case "loopback":
      return true;
    case "endpoint":
      return host.endpointId === record.endpointId && host.region === record.region;
    case "unknown":
      return false;
  }
}

/** A microVM with none of these connectors has no endpoint. */
function takesTraffic(connectors: readonly string[]): boolean {
  return hasIngress(connectors, "HTTP_INGRESS") || hasIngress(connectors, "ALL_INGRESS");
}
