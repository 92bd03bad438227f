// A network of the test's own: the calling test file runs again as root of new network and mount namespaces, where /run, the
// resolver's configuration and the tun device are private. Whatever a test makes or forgets there ends with its process.

import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";

const INSIDE = "--in-private-host";

const ENTER = `
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
mknod -m 666 /run/tun c 10 200
mount --bind /run/tun /dev/net/tun
echo nameserver 127.0.0.1 > /run/resolv.conf
mount --bind /run/resolv.conf /etc/resolv.conf
ip link set lo up
exec "$@"
`;

/** True inside. Outside runs `testFile` inside, its results reported as this process's own, and returns false. */
export function isInPrivateHost(testFile: string): boolean {
  if (process.argv.includes(INSIDE)) return true;
  const node = [process.execPath, ...process.execArgv, testFile, INSIDE];
  const unshare = ["--net", "--mount", "--propagation", "private", "sh", "-e", "-c", ENTER, "sh"];
  const { status, error } = spawnSync("unshare", [...unshare, ...node], { stdio: "inherit" });
  if (error !== undefined) throw error;
  process.exitCode = status ?? 1;
  return false;
}

/** Names `address` as the private host's DNS server. */
export function useResolver(address: string): void {
  writeFileSync("/etc/resolv.conf", `nameserver ${address}\n`);
}

/** Runs a program to its end and returns its output. */
export function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Runs `ip -batch` with one command a line, in `namespace` if given. */
export function ip(commands: readonly string[], namespace?: string): void {
  const where = namespace === undefined ? [] : ["-n", namespace];
  execFileSync("ip", [...where, "-batch", "-"], { input: `${commands.join("\n")}\n` });
}

/** Everything that slots consist of, for comparing before with after. */
export async function listNetworkState(): Promise<Record<string, string[]>> {
  const lines = (text: string) => text.split("\n").filter((line) => line !== "");
  return {
    namespaces: lines(run("ip", "netns", "list")),
    links: lines(run("ip", "-o", "link")).map((line) => line.split(":")[1] ?? ""),
    routes: lines(run("ip", "route", "show", "table", "all")),
    tables: lines(run("nft", "list", "tables")),
    claims: await readdir("/run/torpor/slots").catch(() => []),
  };
}
