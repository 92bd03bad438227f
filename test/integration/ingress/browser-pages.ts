// What the browser tests run in a page. A function goes there by its text, so each stands alone.

export interface SocketInput {
  readonly url: string;
  readonly offered: readonly string[];
}

export async function echoInPage({ url, offered }: SocketInput) {
  const socket = new WebSocket(url, [...offered]);
  socket.binaryType = "arraybuffer";
  const next = (type: string) =>
    new Promise<Event>((resolve, reject) => {
      socket.addEventListener(type, resolve, { once: true });
      if (type !== "close") socket.addEventListener("error", reject, { once: true });
    });
  await next("open");
  socket.send("grüße");
  const { data: text } = (await next("message")) as MessageEvent;
  socket.send(new Uint8Array([0, 255, 1]));
  const { data: bytes } = (await next("message")) as MessageEvent;
  const closed = next("close");
  socket.close(4001, "done");
  const { code, reason } = (await closed) as CloseEvent;
  const { protocol, extensions } = socket;
  return {
    ...{ protocol, extensions, code, reason },
    text: text as string,
    bytes: [...new Uint8Array(bytes as ArrayBuffer)],
  };
}

export function closeInPage({ url, offered }: SocketInput) {
  const socket = new WebSocket(url, [...offered]);
  let hadError = false;
  socket.addEventListener("error", () => (hadError = true));
  return new Promise<Record<string, unknown>>((resolve) => {
    socket.addEventListener("close", ({ code, reason, wasClean }) =>
      resolve({ code, reason, wasClean, hadError }),
    );
  });
}

export interface FetchInput {
  readonly url: string;
  readonly headers: Record<string, string>;
}

export async function fetchInPage({ url, headers }: FetchInput) {
  return fetch(url, { headers }).then((response) => String(response.status), String);
}

export function eventSourceInPage(url: string) {
  const source = new EventSource(url);
  return new Promise<string>((resolve) => {
    source.addEventListener("open", () => resolve("open"));
    source.addEventListener("error", () =>
      resolve(source.readyState === EventSource.CLOSED ? "closed" : "tries again"),
    );
  });
}

export async function uploadInPage({ url, headers, body }: FetchInput & { readonly body: string }) {
  const response = await fetch(url, { method: "POST", headers, body });
  const answer = await response.text();
  const timing = performance.getEntriesByType("resource").at(-1);
  return { status: response.status, answer, protocol: timing?.toJSON().nextHopProtocol };
}

/** Sends a body that grows while it is sent, which browsers do over HTTP/2 alone. */
export async function streamInPage({ url, headers }: FetchInput) {
  const body = new ReadableStream({
    async start(controller) {
      for (const part of ["one ", "two ", "three"]) {
        controller.enqueue(new TextEncoder().encode(part));
        await new Promise((resolve) => setTimeout(resolve));
      }
      controller.close();
    },
  });
  const response = await fetch(url, { method: "POST", headers, body, duplex: "half" });
  return response.text();
}

export async function eventsInPage(headers: Record<string, string>) {
  const response = await fetch("/events", { headers });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  const first = await reader?.read();
  await fetch("/go", { headers });
  const second = await reader?.read();
  return [first?.value, second?.value];
}
