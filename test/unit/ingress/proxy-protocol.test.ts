import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseProxyHeader } from "../../../src/ingress/proxy-protocol.ts";

const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const REST = Buffer.from([0x16, 0x03, 0x01]);

function version2(command: number, family: number, addresses: Buffer): Buffer {
  const fixed = Buffer.from([command, family, addresses.length >> 8, addresses.length & 255]);
  return Buffer.concat([SIGNATURE, fixed, addresses]);
}

const IPV4 = Buffer.from([203, 0, 113, 7, 10, 0, 0, 1, 0x30, 0x39, 1, 0xbb]);
const IPV6 = Buffer.concat([
  Buffer.from("20010db8000000000000000000000001", "hex"),
  Buffer.alloc(16, 1),
  Buffer.from([0x30, 0x39, 1, 0xbb]),
]);
const TLV = Buffer.from([0x03, 0, 4, 1, 2, 3, 4]);

const HEADERS: readonly (readonly [string, Buffer, string | undefined])[] = [
  ["a line for IPv4", Buffer.from("PROXY TCP4 203.0.113.7 10.0.0.1 12345 443\r\n"), "203.0.113.7"],
  ["a line for IPv6", Buffer.from("PROXY TCP6 2001:db8::1 ::1 12345 443\r\n"), "2001:db8::1"],
  ["a line of an unknown family", Buffer.from("PROXY UNKNOWN\r\n"), undefined],
  ["a longer line of an unknown family", Buffer.from("PROXY UNKNOWN a b c d\r\n"), undefined],
  ["bytes for IPv4", version2(0x21, 0x11, IPV4), "203.0.113.7"],
  [
    "bytes for IPv4 with more behind",
    version2(0x21, 0x11, Buffer.concat([IPV4, TLV])),
    "203.0.113.7",
  ],
  ["bytes for IPv6", version2(0x21, 0x21, IPV6), "2001:db8:0:0:0:0:0:1"],
  ["bytes of a Unix socket", version2(0x21, 0x31, Buffer.alloc(216)), undefined],
  ["bytes of the balancer's own", version2(0x20, 0x11, IPV4), undefined],
  ["bytes without addresses", version2(0x20, 0x00, Buffer.alloc(0)), undefined],
];

describe("parseProxyHeader", () => {
  for (const [what, header, address] of HEADERS) {
    it(`reads ${what}, and no further`, () => {
      assert.deepEqual(parseProxyHeader(Buffer.concat([header, REST])), {
        is: "complete",
        client: { address },
        bytes: header.length,
      });
    });

    it(`waits for the rest of ${what}`, () => {
      for (let length = 0; length < header.length; length++)
        assert.equal(parseProxyHeader(header.subarray(0, length)).is, "incomplete", `${length}`);
    });
  }

  const malformed: readonly (readonly [string, Buffer | string])[] = [
    ["a TLS hand-shake", Buffer.from([0x16, 0x03, 0x01, 0x02])],
    ["HTTP", "GET / HTTP/1.1\r\n\r\n"],
    ["an address of the other family", "PROXY TCP4 2001:db8::1 ::1 1 2\r\n"],
    ["no address", "PROXY TCP4 a b 1 2\r\n"],
    ["a port that is none", "PROXY TCP4 203.0.113.7 10.0.0.1 1 65536\r\n"],
    ["too few words", "PROXY TCP4 203.0.113.7 10.0.0.1 1\r\n"],
    ["too many words", "PROXY TCP4 203.0.113.7 10.0.0.1 1 2 3\r\n"],
    ["another family", "PROXY UDP4 203.0.113.7 10.0.0.1 1 2\r\n"],
    ["a line without end", `PROXY ${"a".repeat(200)}`],
    ["another version", version2(0x11, 0x11, IPV4)],
    ["another command", version2(0x22, 0x11, IPV4)],
    ["addresses cut short", version2(0x21, 0x11, IPV4.subarray(0, 8))],
    ["more than anybody sends", version2(0x21, 0x11, Buffer.alloc(2049))],
  ];
  for (const [what, bytes] of malformed)
    it(`refuses ${what}`, () => {
      assert.deepEqual(parseProxyHeader(Buffer.from(bytes)), { is: "malformed" });
    });
});
