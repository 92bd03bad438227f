// This process's terminal, or its pipes, joined to a shell's WebSocket.

import { WebSocket } from "ws";
import { ServiceError } from "../errors.ts";

/** Typed input that is on its way before reading more waits. */
const SENDING_LIMIT = 256 * 1024;
const END_OF_INPUT = "\x04";
const END_AGAIN_MS = 250;
const LINE_ENDS = [10, 13];
const SHELL_EXITED = 1000;
const SIGNALS = ["SIGTERM", "SIGHUP", "SIGINT"] as const;

/**
 * Joins standard input and output to the shell until it ends; the terminal is then as it was. 0 when the shell exited.
 * Rejects GUEST_UNREACHABLE when it ended otherwise.
 */
export async function joinTerminal(socket: WebSocket): Promise<number> {
  const { stdin, stdout } = process;
  const resize = () => {
    if (!stdout.isTTY) return;
    const [cols, rows] = stdout.getWindowSize();
    socket.send(JSON.stringify({ type: "resize", cols, rows }));
  };
  const leave = () => socket.close(SHELL_EXITED);
  const restore = () => void (stdin.isTTY && stdin.setRawMode(false));
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.once("close", (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  if (stdin.isTTY) stdin.setRawMode(true);
  try {
    for (const signal of SIGNALS) process.on(signal, leave);
    stdout.on("resize", resize);
    // Whoever read the output is gone.
    stdout.on("error", leave);
    resize();
    const stopTyping = sendInput(socket);
    showOutput(socket);
    const { code, reason } = await closed;
    stopTyping();
    if (code === SHELL_EXITED) return 0;
    const why = reason === "" ? `the connection was cut (${code})` : reason;
    throw new ServiceError("GUEST_UNREACHABLE", `The shell ended: ${why}`);
  } finally {
    restore();
    stdout.off("resize", resize);
    for (const signal of SIGNALS) process.off(signal, leave);
  }
}

function showOutput(socket: WebSocket): void {
  const { stdout } = process;
  socket.on("message", (data, isBinary) => {
    // Text frames speak to the client, not to its user.
    if (!isBinary || !Buffer.isBuffer(data)) return;
    if (stdout.write(data)) return;
    socket.pause();
    stdout.once("drain", () => socket.resume());
  });
  socket.resume();
}

/** Sends what is typed or piped; a pipe that ends is the end of the shell's input. The result stops it. */
function sendInput(socket: WebSocket): () => void {
  const { stdin } = process;
  let last: number | undefined;
  const send = (bytes: Buffer | string) => {
    if (socket.readyState !== WebSocket.OPEN) return;
    socket.send(Buffer.from(bytes), () => {
      if (stdin.isPaused() && socket.bufferedAmount < SENDING_LIMIT) stdin.resume();
    });
    if (socket.bufferedAmount >= SENDING_LIMIT) stdin.pause();
  };
  const onData = (chunk: Buffer) => {
    last = chunk.at(-1) ?? last;
    send(chunk);
  };
  let ending: NodeJS.Timeout | undefined;
  // A terminal heeds the end of input at the start of a line only, and forgets it when a program changes the terminal's
  // mode before reading, as shells do: it is said until it is heard.
  const onEnd = () => {
    if (last !== undefined && !LINE_ENDS.includes(last)) send("\n");
    send(END_OF_INPUT);
    ending = setInterval(() => send(END_OF_INPUT), END_AGAIN_MS);
  };
  stdin.on("data", onData);
  stdin.once("end", onEnd);
  return () => {
    clearInterval(ending);
    stdin.off("data", onData);
    stdin.off("end", onEnd);
    stdin.destroy();
  };
}
