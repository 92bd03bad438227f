// Requests of the AWS SDK as bytes: what it would send, signed, without sending it.

import { Readable } from "node:stream";
import {
  type CreateMicrovmAuthTokenCommand,
  type GetMicrovmCommand,
  LambdaMicrovmsClient,
  type ListMicrovmsCommand,
} from "@aws-sdk/client-lambda-microvms";

export interface SignedBy {
  readonly port: number;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export type RecordedCommand =
  GetMicrovmCommand | ListMicrovmsCommand | CreateMicrovmAuthTokenCommand;

/** The members of the SDK's request that go onto the wire. */
interface SdkRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string | string[] | null>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** Turns commands, one after the other, into whole HTTP/1.1 requests for `127.0.0.1:port`. */
export async function recordRequests(
  { port, region, ...credentials }: SignedBy,
  commands: readonly RecordedCommand[],
): Promise<Uint8Array[]> {
  const recorded: Uint8Array[] = [];
  const client = new LambdaMicrovmsClient({
    endpoint: `http://127.0.0.1:${port}`,
    ...{ region, credentials, maxAttempts: 1 },
    requestHandler: {
      handle(request: SdkRequest) {
        recorded.push(toBytes(request));
        const body = Readable.from(["{}"]);
        return Promise.resolve({ response: { statusCode: 200, headers: {}, body } });
      },
    },
  });
  for (const command of commands) await client.send(command as GetMicrovmCommand);
  return recorded;
}

function toBytes({ method, path, query, headers, body }: SdkRequest): Uint8Array {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) parameters.append(name, one ?? "");
  }
  const target = parameters.size === 0 ? path : `${path}?${parameters.toString()}`;
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `${method} ${target} HTTP/1.1\r\n${lines.join("")}\r\n`;
  return Buffer.concat([Buffer.from(head), Buffer.from(body ?? "")]);
}
