// `torpor shell`: a shell in a microVM, on this terminal. A client like any other: it mints its token through the API and
// connects to the microVM's endpoint.

import { readFile } from "node:fs/promises";
import path from "node:path";
import { type ConnectionOptions, rootCertificates } from "node:tls";
import { WebSocket } from "ws";
import type { Config } from "../../config.ts";
import { messageOf, ServiceError } from "../../errors.ts";
import { dataPaths } from "../../lib/paths.ts";
import { parseArguments } from "../arguments.ts";
import { readAddresses, type ServiceAddresses } from "../service-file.ts";
import { joinTerminal } from "../terminal.ts";
import { keyOf, requireServed } from "./env.ts";
import { checkAccount } from "./keys.ts";

/** The token is used at once. */
const TOKEN_MINUTES = 1;
/** A microVM that is waked first takes its time. */
const HANDSHAKE_MS = 90_000;
const BODY_LIMIT = 4096;

/** `torpor shell ID`; 0 when the shell exited. */
export async function runShell(args: string[]): Promise<number> {
  const { config, positionals, values } = parseArguments(args, [], {
    options: ["account"],
    positionals: true,
  });
  const [microvmId, ...more] = positionals;
  if (microvmId === undefined || more.length > 0)
    throw new ServiceError(
      "VALIDATION_FAILED",
      "Give the id of one microVM; see torpor shell --help",
    );
  const caFile = path.join(dataPaths(config.dataDir).keys, "ca.pem");
  await requireServed(caFile, config.dataDir);
  const addresses = await readAddresses(config.dataDir);
  if (addresses === undefined)
    throw new ServiceError(
      "SETUP_FAILED",
      `No service runs on "${config.dataDir}"; start it with torpor serve`,
    );
  const account = checkAccount(values.get("account") ?? config.accountId);
  const ticket = await mintTicket(config, addresses, { account, microvmId });
  const socket = await connect(addresses, ticket, await readFile(caFile, "utf8"));
  return joinTerminal(socket);
}

/** What lets into one microVM. */
interface Ticket {
  /** `host[:port]` as the API tells it. */
  readonly endpoint: string;
  readonly token: string;
}

async function mintTicket(
  config: Config,
  { endpoint }: ServiceAddresses,
  { account, microvmId }: { readonly account: string; readonly microvmId: string },
): Promise<Ticket> {
  // Loaded here: no other command needs it.
  const { CreateMicrovmShellAuthTokenCommand, GetMicrovmCommand, LambdaMicrovmsClient } =
    await import("@aws-sdk/client-lambda-microvms");
  const { accessKeyId, secretAccessKey } = await keyOf(config, account);
  const { region } = config;
  const credentials = { accessKeyId, secretAccessKey };
  const client = new LambdaMicrovmsClient({ endpoint, region, credentials });
  const microvmIdentifier = microvmId;
  try {
    const microvm = await client.send(new GetMicrovmCommand({ microvmIdentifier }));
    const { authToken } = await client.send(
      new CreateMicrovmShellAuthTokenCommand({
        microvmIdentifier,
        expirationInMinutes: TOKEN_MINUTES,
      }),
    );
    const token = authToken?.["X-aws-proxy-auth"] ?? "";
    return { endpoint: microvm.endpoint ?? "", token };
  } catch (error) {
    throw new ServiceError("SETUP_FAILED", `Cannot open a shell: ${messageOf(error)}`, {
      cause: error,
    });
  } finally {
    client.destroy();
  }
}

function connect(
  { ingress }: ServiceAddresses,
  { endpoint, token }: Ticket,
  ca: string,
): Promise<WebSocket> {
  // By name whatever address is dialled; an operator's own certificate may be of a public authority.
  const tls: ConnectionOptions = {
    servername: endpoint.replace(/:\d+$/, ""),
    ca: [ca, ...rootCertificates],
  };
  const socket = new WebSocket(`wss://${ingress}/`, {
    ...{ perMessageDeflate: false, handshakeTimeout: HANDSHAKE_MS },
    headers: { host: endpoint, "x-aws-proxy-auth": token },
    ...tls,
  });
  // Nothing of the terminal is lost between the handshake and whoever listens.
  socket.once("open", () => socket.pause());
  return new Promise((resolve, reject) => {
    const fail = (detail: string) =>
      reject(new ServiceError("SETUP_FAILED", `Cannot open a shell: ${detail}`));
    socket.once("open", () => resolve(socket));
    socket.on("error", (error) => fail(messageOf(error)));
    socket.once("unexpected-response", (_request, response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (body += chunk.slice(0, BODY_LIMIT - body.length)));
      response.once("close", () => {
        const told = body === "" ? `the microVM cannot be reached` : body;
        fail(`${told} (HTTP ${response.statusCode ?? 0})`);
        socket.terminate();
      });
    });
  });
}
