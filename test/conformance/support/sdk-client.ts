// The JavaScript SDK as it is published, with the answer's bytes kept before its deserialiser reads them.

import { buffer } from "node:stream/consumers";
import * as microvms from "@aws-sdk/client-lambda-microvms";
import * as sts from "@aws-sdk/client-sts";
import type { ClientCall, ConformanceClient, Observed } from "./client.ts";
import { OPERATIONS } from "./operations.ts";

type RawAnswer = Pick<Observed, "status" | "headers" | "body">;

/** The part of the SDK's clients and commands that all of them have in common. */
interface SdkModule {
  readonly [name: string]: unknown;
}
type Command = new (input: object) => object;
interface SdkClient {
  readonly middlewareStack: {
    add(middleware: unknown, options: { step: "deserialize"; priority: "low" }): void;
  };
  send(command: object): Promise<object>;
  destroy(): void;
}
type SdkClientClass = new (config: object) => SdkClient;

/** Calls through the SDK. It has no client for lambda-core yet. */
export function createSdkClient(): ConformanceClient {
  return {
    async call({ operation, input, endpoint, region, key }: ClientCall): Promise<Observed> {
      const isSts = OPERATIONS[operation].family === "sts";
      const module: SdkModule = isSts ? sts : microvms;
      const Client = (isSts ? sts.STSClient : microvms.LambdaMicrovmsClient) as SdkClientClass;
      const client = new Client({ endpoint, region, credentials: key, maxAttempts: 1 });
      const answers: RawAnswer[] = [];
      client.middlewareStack.add(keepAnswer(answers), { step: "deserialize", priority: "low" });
      try {
        const output = await client.send(new (module[`${operation}Command`] as Command)(input));
        return { ...received(answers), output: plain(output) };
      } catch (error) {
        if (!(error instanceof Error) || answers.length === 0) throw error;
        return { ...received(answers), error: { name: error.name, message: error.message } };
      } finally {
        client.destroy();
      }
    },
    async [Symbol.asyncDispose]() {},
  };
}

interface HttpAnswer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  body: NodeJS.ReadableStream | Uint8Array;
}

function keepAnswer(answers: RawAnswer[]) {
  return (next: (call: unknown) => Promise<{ response: HttpAnswer }>) => async (call: unknown) => {
    const result = await next(call);
    const { response } = result;
    const bytes = response.body instanceof Uint8Array ? response.body : await buffer(response.body);
    response.body = bytes;
    answers.push({
      status: response.statusCode,
      headers: response.headers,
      body: Buffer.from(bytes).toString(),
    });
    return result;
  };
}

function received(answers: readonly RawAnswer[]): RawAnswer {
  const [answer] = answers;
  if (answer === undefined || answers.length > 1)
    throw new TypeError(`Expected one answer, had ${answers.length}`);
  return answer;
}

/** Without the SDK's metadata, times as numbers. */
function plain(value: unknown): unknown {
  if (value instanceof Date) return value.getTime() / 1000;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, member]) => name !== "$metadata" && member !== undefined)
      .map(([name, member]) => [name, plain(member)]),
  );
}
