// Builds and signs X.509 v3 certificates (RFC 5280) with EC P-256 keys: the local authority's own and those it issues
// for the ingress. Who may have one, and for how long, is decided in authority.ts.

import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIPv4 } from "node:net";
import * as der from "./der.ts";

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

interface Validity {
  /** Epoch ms. */
  readonly notBefore: number;
  /** Epoch ms. */
  readonly notAfter: number;
}

export interface AuthorityProfile extends Validity {
  readonly commonName: string;
  /** The only DNS subtrees and address ranges the authority can vouch for. */
  readonly permitted: {
    readonly dnsNames: readonly string[];
    readonly ranges: readonly IpRange[];
  };
}

export interface IpRange {
  readonly address: string;
  readonly prefixLength: number;
}

export interface ServerProfile extends Validity {
  readonly commonName: string;
  readonly dnsNames: readonly string[];
  readonly addresses: readonly string[];
}

export interface Issuer {
  readonly commonName: string;
  readonly keys: KeyPair;
}

const OID = {
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
} as const;

/** First octet of the key usage bits. */
const KEY_USAGE = { digitalSignature: 0x80, keyCertSign: 0x04, cRLSign: 0x02 } as const;
/** GeneralName choices. */
const DNS_NAME = der.contextTag(2, "primitive");
const IP_ADDRESS = der.contextTag(7, "primitive");

/** A new P-256 key pair. */
export function generateKeys(): KeyPair {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

/** The self-signed certificate (PEM) of an authority that may issue end-entity certificates only. */
export function authorityCertificate(keys: KeyPair, profile: AuthorityProfile): string {
  const extensions = [
    // cA true, path length 0: no intermediate authorities.
    criticalExtension(
      OID.basicConstraints,
      der.sequence(der.booleanTrue(), der.unsignedInteger(Buffer.from([0]))),
    ),
    criticalExtension(
      OID.keyUsage,
      der.bitString(Buffer.from([KEY_USAGE.keyCertSign | KEY_USAGE.cRLSign]), 1),
    ),
    criticalExtension(OID.nameConstraints, nameConstraints(profile.permitted)),
    extension(OID.subjectKeyIdentifier, der.octetString(keyIdentifier(keys.publicKey))),
    extension(OID.authorityKeyIdentifier, authorityKeyIdentifier(keys.publicKey)),
  ];
  const issuer = { commonName: profile.commonName, keys };
  return signedCertificate(issuer, profile.commonName, keys.publicKey, profile, extensions);
}

/** A TLS server certificate (PEM) for `publicKey`, signed by `issuer`. */
export function serverCertificate(
  issuer: Issuer,
  publicKey: KeyObject,
  profile: ServerProfile,
): string {
  const names = [
    ...profile.dnsNames.map((name) => der.element(DNS_NAME, Buffer.from(name, "ascii"))),
    ...profile.addresses.map((address) => der.element(IP_ADDRESS, addressOctets(address))),
  ];
  const extensions = [
    criticalExtension(OID.basicConstraints, der.sequence()),
    criticalExtension(OID.keyUsage, der.bitString(Buffer.from([KEY_USAGE.digitalSignature]), 7)),
    extension(OID.extendedKeyUsage, der.sequence(der.objectIdentifier(OID.serverAuth))),
    extension(OID.subjectAltName, der.sequence(...names)),
    extension(OID.subjectKeyIdentifier, der.octetString(keyIdentifier(publicKey))),
    extension(OID.authorityKeyIdentifier, authorityKeyIdentifier(issuer.keys.publicKey)),
  ];
  return signedCertificate(issuer, profile.commonName, publicKey, profile, extensions);
}

/** A short name for a key, stable over certificates: the first 160 bits of the SHA-256 of its SPKI (RFC 7093). */
export function keyIdentifier(publicKey: KeyObject): Buffer {
  return createHash("sha256").update(spki(publicKey)).digest().subarray(0, 20);
}

function signedCertificate(
  issuer: Issuer,
  subject: string,
  publicKey: KeyObject,
  validity: Validity,
  extensions: readonly Buffer[],
): string {
  const algorithm = der.sequence(der.objectIdentifier(OID.ecdsaWithSha256));
  const version3 = der.element(
    der.contextTag(0, "constructed"),
    der.unsignedInteger(Buffer.from([2])),
  );
  const toBeSigned = der.sequence(
    version3,
    der.unsignedInteger(randomBytes(16)),
    algorithm,
    distinguishedName(issuer.commonName),
    der.sequence(der.time(validity.notBefore), der.time(validity.notAfter)),
    distinguishedName(subject),
    spki(publicKey),
    der.element(der.contextTag(3, "constructed"), der.sequence(...extensions)),
  );
  const signature = sign("sha256", toBeSigned, issuer.keys.privateKey);
  return pem(der.sequence(toBeSigned, algorithm, der.bitString(signature)));
}

function distinguishedName(commonName: string): Buffer {
  const attribute = (oid: string, value: string) =>
    der.element(der.TAG.set, der.sequence(der.objectIdentifier(oid), der.utf8String(value)));
  return der.sequence(attribute(OID.organization, "torpor"), attribute(OID.commonName, commonName));
}

function extension(oid: string, value: Buffer): Buffer {
  return der.sequence(der.objectIdentifier(oid), der.octetString(value));
}

function criticalExtension(oid: string, value: Buffer): Buffer {
  return der.sequence(der.objectIdentifier(oid), der.booleanTrue(), der.octetString(value));
}

function authorityKeyIdentifier(publicKey: KeyObject): Buffer {
  return der.sequence(der.element(der.contextTag(0, "primitive"), keyIdentifier(publicKey)));
}

function nameConstraints(permitted: AuthorityProfile["permitted"]): Buffer {
  const subtrees = [
    ...permitted.dnsNames.map((name) => der.element(DNS_NAME, Buffer.from(name, "ascii"))),
    ...permitted.ranges.map((range) => der.element(IP_ADDRESS, rangeOctets(range))),
  ].map((base) => der.sequence(base));
  return der.sequence(der.element(der.contextTag(0, "constructed"), ...subtrees));
}

/** Address followed by its mask, as name constraints want it. */
function rangeOctets({ address, prefixLength }: IpRange): Buffer {
  const octets = addressOctets(address);
  const mask = octets.map((_, index) => {
    const bits = Math.min(8, Math.max(0, prefixLength - index * 8));
    return 0xff & (0xff << (8 - bits));
  });
  return Buffer.concat([octets, mask]);
}

function addressOctets(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split(".").map(Number));
  const [head = "", tail] = address.split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":"));
  const left = groups(head);
  const right = groups(tail ?? "");
  const zeros = Array<string>(8 - left.length - right.length).fill("0");
  const all = [...left, ...zeros, ...right].map((group) => Number.parseInt(group, 16));
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

function spki(publicKey: KeyObject): Buffer {
  return publicKey.export({ type: "spki", format: "der" });
}

function pem(certificate: Buffer): string {
  const lines = certificate.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
