// A namespace that stands for a guest: its interface is a tap whose frames a small program passes to the slot's tap, which
// it opens as the slot's user, as a VMM does.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { GUEST_NETWORK, type Slot } from "../../../src/network/slot.ts";
import { ip } from "./private-host.ts";
import { exitOf, type Station, startStation } from "./station.ts";

const OPEN_TAP = `
  $^F = 255; # descriptors survive exec
  sub tap { my ($name) = @_;
    open(my $tap, "+<", "/dev/net/tun") or die "open: $!";
    my $request = pack("a16 s x22", $name, 0x0002 | 0x1000); # IFF_TAP | IFF_NO_PI
    ioctl($tap, 0x400454ca, $request) or die "TUNSETIFF $name: $!";
    return $tap;
  }`;

/** In the guest's namespace: makes the tap, then goes on as the slot's user in the slot's. */
const IN_GUEST = `${OPEN_TAP}
  my $tap = tap("eth0");
  my ($slot, $id, $next) = @ARGV;
  exec("nsenter", "--net=/run/netns/$slot", "setpriv", "--reuid=$id", "--regid=$id", "--clear-groups",
    "perl", "-e", $next, fileno($tap)) or die "exec: $!";`;

const IN_SLOT = `${OPEN_TAP}
  open(my $guest, "+<&=", $ARGV[0]) or die "descriptor: $!";
  my $slot = tap("tap0");
  $| = 1; print "attached\\n";
  while (1) {
    my $ready = ""; vec($ready, fileno($_), 1) = 1 for ($guest, $slot);
    select($ready, undef, undef, undef);
    for ([$guest, $slot], [$slot, $guest]) {
      my ($from, $to) = @$_;
      next unless vec($ready, fileno($from), 1);
      sysread($from, my $frame, 65536) or exit; syswrite($to, $frame);
    }
  }`;

export interface Guest extends AsyncDisposable {
  readonly slot: Slot;
  readonly station: Station;
}

/** Puts a guest with the fixed address into a slot. Disposing it ends its processes and removes its namespace. */
export async function startGuest(slot: Slot): Promise<Guest> {
  const namespace = `guest-${slot.index}`;
  const { guestAddress, prefixLength, guestMac, gatewayAddress } = GUEST_NETWORK;
  ip([`netns add ${namespace}`]);
  const wire = await startWire(namespace, slot);
  ip(
    [
      "link set lo up",
      `link set eth0 address ${guestMac}`,
      `addr add ${guestAddress}/${prefixLength} dev eth0`,
      "link set eth0 up",
      `route add default via ${gatewayAddress}`,
    ],
    namespace,
  );
  const station = await startStation(namespace);
  return {
    slot,
    station,
    async [Symbol.asyncDispose]() {
      await station[Symbol.asyncDispose]();
      wire.kill("SIGKILL");
      await exitOf(wire);
      ip([`netns del ${namespace}`]);
    },
  };
}

async function startWire(namespace: string, slot: Slot): Promise<ChildProcess> {
  const perl = ["perl", "-e", IN_GUEST, slot.networkNamespace, String(slot.uid), IN_SLOT];
  const wire = spawn("nsenter", [`--net=/run/netns/${namespace}`, ...perl], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const attached = await Promise.race([once(wire.stdout, "data"), once(wire, "exit")]);
  if (!String(attached[0]).startsWith("attached"))
    throw new Error("The slot's tap cannot be opened");
  return wire;
}
