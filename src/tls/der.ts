// Writes the few ASN.1 types (DER) that an X.509 certificate needs. Reading is left to node:crypto.

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** One element: tag, definite length, content. */
export function element(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  return Buffer.concat([Buffer.from([tag, ...lengthOctets(body.length)]), body]);
}

export function sequence(...content: readonly Uint8Array[]): Buffer {
  return element(TAG.sequence, ...content);
}

/** Context-specific tag; constructed when it wraps other elements. */
export function contextTag(number: number, form: "primitive" | "constructed"): number {
  return (form === "constructed" ? 0xa0 : 0x80) | number;
}

export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return element(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

/** A non-negative integer from its big-endian octets, in the shortest form. */
export function unsignedInteger(octets: Uint8Array): Buffer {
  const firstUsed = octets.findIndex((octet) => octet !== 0);
  const value = firstUsed < 0 ? Buffer.from([0]) : Buffer.from(octets.subarray(firstUsed));
  const needsSignOctet = (value[0] ?? 0) >= 0x80;
  return element(TAG.integer, needsSignOctet ? Buffer.from([0]) : Buffer.alloc(0), value);
}

export function booleanTrue(): Buffer {
  return element(TAG.boolean, Buffer.from([0xff]));
}

export function octetString(content: Uint8Array): Buffer {
  return element(TAG.octetString, content);
}

/** Whole octets, or the named bits of `octets` without the `unusedBits` last ones. */
export function bitString(octets: Uint8Array, unusedBits = 0): Buffer {
  return element(TAG.bitString, Buffer.from([unusedBits]), octets);
}

export function utf8String(text: string): Buffer {
  return element(TAG.utf8String, Buffer.from(text));
}

/** A certificate time, in whole seconds: UTCTime before 2050, GeneralizedTime from then on (RFC 5280, 4.1.2.5). */
export function time(epochMs: number): Buffer {
  const date = new Date(epochMs);
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, "");
  return date.getUTCFullYear() < 2050
    ? element(TAG.utcTime, Buffer.from(digits.slice(2)))
    : element(TAG.generalizedTime, Buffer.from(digits));
}

function lengthOctets(length: number): number[] {
  if (length < 0x80) return [length];
  const octets: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256);
  return [0x80 | octets.length, ...octets];
}

function base128(value: number): number[] {
  const octets = [value & 0x7f];
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) octets.unshift((rest & 0x7f) | 0x80);
  return octets;
}
