// Plain signed requests made after the service's model: what JavaScript has for an API family without a client in the SDK.

import { send, sign } from "../../integration/api/harness.ts";
import type { ClientCall, ConformanceClient, Observed } from "./client.ts";
import type { Json } from "./match.ts";
import { OPERATIONS, type Operation } from "./operations.ts";

/** Calls by HTTP alone; `output` and `error` stay away. */
export function createHttpClient(): ConformanceClient {
  return {
    async call({ operation, input, endpoint, region, key }: ClientCall): Promise<Observed> {
      const { port } = new URL(endpoint);
      const request = requestFor(OPERATIONS[operation], input);
      const signed = sign(Number(port), request, { ...key, region });
      const { status, headers, body } = await send(Number(port), signed);
      const pairs = Object.entries(headers).map(([name, value]) => [name, String(value)]);
      return { status, headers: Object.fromEntries(pairs) as Record<string, string>, body };
    },
    async [Symbol.asyncDispose]() {},
  };
}

function requestFor(
  { method, path, query, parameters: names = {} }: Operation,
  input: Readonly<Record<string, Json>>,
) {
  const labels = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
  const target = path.replace(/\{(\w+)\}/g, (_, name: string) => escaped(input[name]));
  const parameters = query
    .filter((name) => name in input)
    .flatMap((name) => [input[name]].flat().map((value) => [names[name] ?? name, value] as const))
    .map(([name, value]) => `${name}=${escaped(value)}`);
  const members = Object.entries(input).filter(
    ([name]) => !labels.includes(name) && !query.includes(name),
  );
  const hasBody = method !== "GET" && method !== "DELETE";
  return {
    method,
    path: parameters.length > 0 ? `${target}?${parameters.join("&")}` : target,
    ...(hasBody && { body: JSON.stringify(Object.fromEntries(members)) }),
  };
}

/** As path segment or query value, in the way of Signature Version 4. */
function escaped(value: Json | undefined): string {
  return encodeURIComponent(String(value)).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
