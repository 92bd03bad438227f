// Addresses of this machine that the network tests aim at.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import path from "node:path";

/** Host of the machine's own Debian mirror: the one public name that every test machine can reach. */
export function packageMirror(): string {
  const sources = ["/etc/apt/sources.list", ...listSources("/etc/apt/sources.list.d")];
  const lines = sources.flatMap((file) => read(file).split("\n"));
  const text = lines.filter((line) => !line.startsWith("#")).join("\n");
  const match = /https?:\/\/([^/\s]*debian[^/\s]*)\/\S*/.exec(text);
  if (match?.[1] === undefined) throw new Error("The machine's apt sources name no Debian mirror");
  return match[1];
}

/** IPv4 addresses of this machine, slots' host ends included. */
export function hostAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flat()
    .filter((entry) => entry?.family === "IPv4" && !entry.internal)
    .map((entry) => entry?.address ?? "");
}

/** Address inside a network namespace, seen from the host: that of the namespace a process is in. */
export function slotAddressOf(pid: number): string {
  const output = execFileSync(
    "nsenter",
    ["--net", "--target", String(pid), "ip", "-4", "-o", "addr"],
    {
      encoding: "utf8",
    },
  );
  const match = /uplink\S*\s+inet (\S+)\//.exec(output);
  if (match?.[1] === undefined)
    throw new Error(`No slot address in the namespace of ${pid}: ${output}`);
  return match[1];
}

function listSources(directory: string): string[] {
  try {
    return readdirSync(directory).map((file) => path.join(directory, file));
  } catch {
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
