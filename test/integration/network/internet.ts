// A namespace that stands for the internet and holds a listener on an address of every range.

import { ip } from "./private-host.ts";
import { type Station, startStation } from "./station.ts";

export const HOST_ADDRESS = "192.0.2.2";
export const HOST_OTHER_ADDRESS = "203.0.113.77";
export const PUBLIC = ["192.0.2.1", "203.0.113.10", "198.51.100.20", "9.9.9.9"];
export const DENIED = [
  "10.9.9.9",
  "100.70.0.1",
  "169.254.169.254",
  "172.16.5.5",
  "172.31.255.1",
  "192.0.0.100",
  "192.168.7.7",
  "198.18.0.1",
  "198.19.0.1",
  "240.0.0.1",
];
export const SERVICE_PORT = 8000;
/** Port that the tests' own server on the host listens on. */
export const HOST_PORT = 9000;

/** A namespace behind the host's default route with a listener on every test address. */
export async function startInternet(): Promise<Station> {
  ip([
    "netns add internet",
    "link add eth0 type veth peer name eth0 netns internet",
    `addr add ${HOST_ADDRESS}/24 dev eth0`,
    `addr add ${HOST_OTHER_ADDRESS}/32 dev lo`,
    "link set eth0 up",
  ]);
  ip(
    [
      "link set lo up",
      "addr add 192.0.2.1/24 dev eth0",
      "link set eth0 up",
      ...[...PUBLIC.slice(1), ...DENIED, "10.53.0.53"].map(
        (address) => `addr add ${address}/32 dev lo`,
      ),
    ],
    "internet",
  );
  ip(["route add default via 192.0.2.1"]);
  const station = await startStation("internet");
  await station.tell({ do: "listen", port: SERVICE_PORT });
  await station.tell({ do: "echo", address: "192.0.2.1", port: 9999 });
  await station.tell({ do: "echo", address: "192.0.2.1", port: 53 });
  return station;
}
