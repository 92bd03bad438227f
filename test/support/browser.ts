// A headless Chromium that tests drive over its debugging pipe (the Chrome DevTools Protocol): JSON, each ended by a zero.

import { type ChildProcess, spawn } from "node:child_process";
import type { X509Certificate } from "node:crypto";
import { createHash } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Readable, Writable } from "node:stream";

const PROGRAM = "chromium-headless-shell";
const ANSWER_MS = 30_000;
const EXIT_MS = 5000;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly sessionId?: string;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

/** One page in a browser of its own, with a profile that is gone at the end. */
export class Browser implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #input: Writable;
  readonly #profile: string;
  readonly #messages = new EventEmitter<{ message: [Message] }>();
  #sessionId: string | undefined;
  #lastId = 0;

  private constructor(child: ChildProcess, profile: string) {
    this.#child = child;
    this.#profile = profile;
    this.#input = child.stdio[3] as Writable;
    // The browser's end closes both pipes; who waits then is told by the exit.
    this.#input.on("error", () => undefined);
    this.#messages.setMaxListeners(0);
    let pending = "";
    (child.stdio[4] as Readable).setEncoding("utf8").on("data", (chunk: string) => {
      const parts = (pending + chunk).split("\0");
      pending = parts.pop() ?? "";
      for (const part of parts) this.#messages.emit("message", JSON.parse(part) as Message);
    });
  }

  /** Starts one that trusts these certificates, whoever issued them. */
  static async start(trusted: readonly X509Certificate[]): Promise<Browser> {
    const profile = await mkdtemp(path.join(tmpdir(), "torpor-browser-"));
    const args = [
      ...["--remote-debugging-pipe", `--user-data-dir=${profile}`, "--no-first-run"],
      `--ignore-certificate-errors-spki-list=${trusted.map(keyDigest).join(",")}`,
      // Its sandbox needs a user other than root; what it is shown here is the tests' own.
      ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
      ...["--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"],
    ];
    const child = spawn(PROGRAM, args, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    const browser = new Browser(child, profile);
    try {
      await once(child, "spawn");
      await browser.#openPage();
    } catch (error) {
      await browser[Symbol.asyncDispose]();
      throw error;
    }
    return browser;
  }

  async #openPage(): Promise<void> {
    const { targetId } = await this.#call("Target.createTarget", { url: "about:blank" });
    const attached = await this.#call("Target.attachToTarget", { targetId, flatten: true });
    this.#sessionId = attached["sessionId"] as string;
    await this.#call("Page.enable");
    await this.#call("Network.enable");
  }

  /** Shows a page that is fetched with these header fields; what it fetches itself has none of them. */
  async open(url: string, headers: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.#call("Network.setExtraHTTPHeaders", { headers });
    const isLoaded = this.#next(({ method }) => method === "Page.loadEventFired");
    const { errorText } = await this.#call("Page.navigate", { url });
    if (typeof errorText === "string") throw new Error(`Cannot show ${url}: ${errorText}`);
    await isLoaded;
    await this.#call("Network.setExtraHTTPHeaders", { headers: {} });
  }

  /** Runs a function in the page, on an argument that JSON can hold, and resolves with what it gives. */
  async run<Given, Result>(
    body: (given: Given) => Result | Promise<Result>,
    given: Given,
  ): Promise<Result> {
    const { result, exceptionDetails } = await this.#call("Runtime.evaluate", {
      expression: `(${body.toString()})(${JSON.stringify(given)})`,
      ...{ awaitPromise: true, returnByValue: true },
    });
    if (exceptionDetails !== undefined)
      throw new Error(`In the page: ${JSON.stringify(exceptionDetails)}`);
    return (result as { value: Result }).value;
  }

  async #call(method: string, params = {}): Promise<Readonly<Record<string, unknown>>> {
    const id = ++this.#lastId;
    const answered = this.#next((message) => message.id === id);
    const sessionId = this.#sessionId;
    this.#input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    const { error, result = {} } = await answered;
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result;
  }

  #next(isWanted: (message: Message) => boolean): Promise<Message> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        clearTimeout(timer);
        this.#messages.off("message", onMessage);
        this.#child.off("exit", onExit);
        act();
      };
      const onMessage = (message: Message) => {
        if (isWanted(message)) settle(() => resolve(message));
      };
      const onExit = () => settle(() => reject(new Error("The browser has ended")));
      const timer = setTimeout(
        () => settle(() => reject(new Error("The browser does not answer"))),
        ANSWER_MS,
      );
      this.#messages.on("message", onMessage);
      this.#child.once("exit", onExit);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const hasExited = once(child, "exit");
      // The end of its pipe is the end of the browser.
      this.#input.end();
      const timer = setTimeout(() => child.kill("SIGKILL"), EXIT_MS);
      await hasExited;
      clearTimeout(timer);
    }
    await rm(this.#profile, { recursive: true, maxRetries: 5, retryDelay: 100 });
  }
}

function keyDigest({ publicKey }: X509Certificate): string {
  const key = publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(key).digest("base64");
}
