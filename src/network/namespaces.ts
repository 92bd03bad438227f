// Makes and removes the kernel's side of a slot: namespace, veth pair, tap, rules inside. Each step is one batch, because
// starting a program costs more than what it does. Needs root, iproute2, nftables and util-linux.

import { constants } from "node:fs";
import { access, readdir, readlink, stat, writeFile } from "node:fs/promises";
import { hasErrorCode } from "../errors.ts";
import {
  HOST_LINK_MAC,
  indexOfLink,
  SLOT_PREFIX_LENGTH,
  type SlotPlan,
  TAP_NAME,
  UPLINK_MAC,
  UPLINK_NAME,
} from "./addresses.ts";
import { CLOSE_SLOT, slotRules, type SlotSurroundings } from "./nft.ts";
import { GUEST_NETWORK } from "./slot.ts";
import { runTool } from "./tools.ts";

const NAMESPACES = "/run/netns";
/** One directory per interface of the caller's namespace, unlike /sys/class/net in a container. */
const LINK_SETTINGS = "/proc/sys/net/ipv4/conf";
const LINK_SETTINGS_6 = "/proc/sys/net/ipv6/conf";

/** Makes the namespace of `plan` and its link to the host. On failure parts may be left for `removeNamespace`. */
export async function makeNamespace(
  plan: SlotPlan,
  options: SlotSurroundings & { readonly reachesLoopback: boolean },
): Promise<void> {
  await runTool("ip", ["-batch", "-"], hostBatch(plan));
  // The link has no carrier until its other end comes up, so these are in force before its first packet.
  await setHostLinkOptions(plan.hostLink, options);
  await runTool("nsenter", [enter(plan), "sh", "-e"], innerScript(plan, options));
}

/** Refuses everything that begins in the namespace of `plan`, from now until it is removed. */
export async function closeNamespace(plan: SlotPlan): Promise<void> {
  await runTool("nsenter", [enter(plan), "nft", ...CLOSE_SLOT], "");
}

/** Removes the namespace of `plan` and its link; what is not there is skipped. Ends no process: see `processesIn`. */
export async function removeNamespace({
  slot,
  hostLink,
}: Pick<SlotPlan, "slot" | "hostLink">): Promise<void> {
  const { networkNamespace } = slot;
  const batch = [
    ...((await linkExists(hostLink)) ? [`link del ${hostLink}`] : []),
    ...((await namespaceExists(networkNamespace)) ? [`netns del ${networkNamespace}`] : []),
  ];
  if (batch.length === 0) return;
  await runTool("ip", ["-batch", "-"], `${batch.join("\n")}\n`);
}

/** Sets what the kernel does with packets from a slot. A resolver on the host's loopback must be reachable by translation. */
export async function setHostLinkOptions(
  hostLink: string,
  { reachesLoopback }: { readonly reachesLoopback: boolean },
): Promise<void> {
  const settings = `${LINK_SETTINGS}/${hostLink}`;
  await writeFile(`${settings}/rp_filter`, "1");
  await writeFile(`${settings}/accept_redirects`, "0");
  await writeFile(`${settings}/route_localnet`, reachesLoopback ? "1" : "0");
  try {
    await writeFile(`${LINK_SETTINGS_6}/${hostLink}/disable_ipv6`, "1");
  } catch (error) {
    // A kernel without IPv6 has nothing to switch off.
    if (!hasErrorCode(error, "ENOENT")) throw error;
  }
}

/** True when the slot is whole enough to carry a VMM. */
export async function slotExists({ slot, hostLink }: SlotPlan): Promise<boolean> {
  return (await namespaceExists(slot.networkNamespace)) && (await linkExists(hostLink));
}

/** Numbers of all slots with `prefix` of which a namespace or a link exists. */
export async function listSlotIndexes(prefix: string): Promise<Set<number>> {
  const names = [...(await list(NAMESPACES)), ...(await list(LINK_SETTINGS))];
  const indexes = names.map((name) => indexOfLink(prefix, name));
  return new Set(indexes.filter((index) => index !== undefined));
}

/** Ids of the processes inside a namespace; none when there is no such namespace. */
export async function processesIn(networkNamespace: string): Promise<number[]> {
  const inode = await inodeOf(`${NAMESPACES}/${networkNamespace}`);
  if (inode === undefined) return [];
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const inside = await Promise.all(
    pids.map(async (pid) => (await namespaceOf(pid)) === `net:[${inode}]`),
  );
  return pids.filter((_pid, at) => inside[at]).map(Number);
}

function enter({ slot }: SlotPlan): string {
  return `--net=${NAMESPACES}/${slot.networkNamespace}`;
}

function hostBatch({ slot, hostLink, hostAddress }: SlotPlan): string {
  const { networkNamespace } = slot;
  return [
    `netns add ${networkNamespace}`,
    `link add ${hostLink} address ${HOST_LINK_MAC} type veth peer name ${UPLINK_NAME} address ${UPLINK_MAC} netns ${networkNamespace}`,
    `addr add ${hostAddress}/${SLOT_PREFIX_LENGTH} dev ${hostLink}`,
    `link set ${hostLink} up`,
    `neigh replace ${slot.address} lladdr ${UPLINK_MAC} dev ${hostLink} nud permanent`,
    "",
  ].join("\n");
}

function innerScript(plan: SlotPlan, surroundings: SlotSurroundings): string {
  const { slot, hostAddress } = plan;
  const { gatewayAddress, prefixLength, gatewayMac, guestAddress, guestMac } = GUEST_NETWORK;
  return [
    "echo 1 > /proc/sys/net/ipv4/ip_forward",
    "if [ -d /proc/sys/net/ipv6 ]; then",
    "  echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6",
    "  echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6",
    "fi",
    "nft -f - <<'END'",
    slotRules(plan, surroundings),
    "END",
    "ip -batch - <<'END'",
    "link set lo up",
    // For the driver's program, which runs as the slot's user; `vnet_hdr` lets it pass on unsegmented packets.
    `tuntap add dev ${TAP_NAME} mode tap user ${slot.uid} vnet_hdr`,
    `link set ${TAP_NAME} address ${gatewayMac}`,
    `addr add ${gatewayAddress}/${prefixLength} dev ${TAP_NAME}`,
    `link set ${TAP_NAME} up`,
    `neigh replace ${guestAddress} lladdr ${guestMac} dev ${TAP_NAME} nud permanent`,
    `addr add ${slot.address}/${SLOT_PREFIX_LENGTH} dev ${UPLINK_NAME}`,
    `link set ${UPLINK_NAME} up`,
    `neigh replace ${hostAddress} lladdr ${HOST_LINK_MAC} dev ${UPLINK_NAME} nud permanent`,
    `route add default via ${hostAddress}`,
    "END",
    `echo 1 > ${LINK_SETTINGS}/${TAP_NAME}/rp_filter`,
    `echo 1 > ${LINK_SETTINGS}/${UPLINK_NAME}/rp_filter`,
    "",
  ].join("\n");
}

async function namespaceExists(name: string): Promise<boolean> {
  return exists(`${NAMESPACES}/${name}`);
}

async function linkExists(name: string): Promise<boolean> {
  return exists(`${LINK_SETTINGS}/${name}`);
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file, constants.F_OK);
    return true;
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return false;
    throw error;
  }
}

async function list(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return [];
    throw error;
  }
}

async function inodeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).ino;
  } catch (error) {
    if (hasErrorCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

async function namespaceOf(pid: string): Promise<string | undefined> {
  try {
    return await readlink(`/proc/${pid}/ns/net`);
  } catch (error) {
    // Gone since it was listed, or a zombie, or (without ptrace rights over it) not one of ours.
    if (hasErrorCode(error, "ENOENT", "ESRCH", "EACCES", "EPERM")) return undefined;
    throw error;
  }
}
