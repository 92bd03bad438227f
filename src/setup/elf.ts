// Reads what set-up must know of a 64-bit little-endian ELF file: segments, notes, kernel module information.

import { ServiceError } from "../errors.ts";

export interface ElfSegment {
  readonly type: number;
  readonly content: Buffer;
}

export interface ElfSection {
  readonly name: string;
  readonly content: Buffer;
}

export interface Elf {
  readonly segments: readonly ElfSegment[];
  readonly sections: readonly ElfSection[];
}

const PT_INTERP = 3;
const PT_NOTE = 4;
const SHT_NOBITS = 8;
/** Where a VMM enters a kernel by the PVH protocol; XEN_ELFNOTE_PHYS32_ENTRY of the Xen headers. */
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

/** Parses an ELF file. Rejects SETUP_FAILED when it is not a 64-bit little-endian one or is cut short. */
export function parseElf(file: Buffer, what: string): Elf {
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46) {
    throw new ServiceError("SETUP_FAILED", `Cannot read ${what}: not an ELF file`);
  }
  if (file[4] !== 2 || file[5] !== 1) {
    throw new ServiceError("SETUP_FAILED", `Cannot read ${what}: not a 64-bit x86 or ARM ELF file`);
  }
  const slice = (offset: number, size: number) => {
    if (offset + size > file.length) {
      throw new ServiceError("SETUP_FAILED", `Cannot read ${what}: the ELF file is cut short`);
    }
    return file.subarray(offset, offset + size);
  };
  return { segments: readSegments(file, slice), sections: readSections(file, slice) };
}

type Slice = (offset: number, size: number) => Buffer;

function readSegments(file: Buffer, slice: Slice): ElfSegment[] {
  const tableOffset = Number(file.readBigUInt64LE(0x20));
  const entrySize = file.readUInt16LE(0x36);
  const count = file.readUInt16LE(0x38);
  return Array.from({ length: count }, (_, index) => {
    const header = slice(tableOffset + index * entrySize, 56);
    const offset = Number(header.readBigUInt64LE(8));
    const size = Number(header.readBigUInt64LE(32));
    return { type: header.readUInt32LE(0), content: slice(offset, size) };
  });
}

function readSections(file: Buffer, slice: Slice): ElfSection[] {
  const tableOffset = Number(file.readBigUInt64LE(0x28));
  const entrySize = file.readUInt16LE(0x3a);
  const count = file.readUInt16LE(0x3c);
  const namesIndex = file.readUInt16LE(0x3e);
  if (tableOffset === 0 || count === 0) return [];
  const raw = Array.from({ length: count }, (_, index) => {
    const header = slice(tableOffset + index * entrySize, 64);
    const hasContent = header.readUInt32LE(4) !== SHT_NOBITS;
    const offset = Number(header.readBigUInt64LE(24));
    const size = Number(header.readBigUInt64LE(32));
    return {
      nameOffset: header.readUInt32LE(0),
      content: hasContent ? slice(offset, size) : Buffer.alloc(0),
    };
  });
  const names = raw[namesIndex]?.content ?? Buffer.alloc(0);
  return raw.map(({ nameOffset, content }) => ({ name: cString(names, nameOffset), content }));
}

function cString(buffer: Buffer, offset: number): string {
  const end = buffer.indexOf(0, offset);
  return buffer.toString("latin1", offset, end === -1 ? buffer.length : end);
}

/** True when a kernel says where to enter it by the PVH protocol, so that QEMU can boot it uncompressed. */
export function hasPvhEntry(elf: Elf): boolean {
  return elf.segments
    .filter(({ type }) => type === PT_NOTE)
    .some(({ content }) =>
      [...readNotes(content)].some(
        (note) => note.name === "Xen" && note.type === XEN_ELFNOTE_PHYS32_ENTRY,
      ),
    );
}

function* readNotes(content: Buffer): Generator<{ name: string; type: number }> {
  const aligned = (size: number) => (size + 3) & ~3;
  for (let at = 0; at + 12 <= content.length;) {
    const nameSize = content.readUInt32LE(at);
    const dataSize = content.readUInt32LE(at + 4);
    yield { name: cString(content, at + 12), type: content.readUInt32LE(at + 8) };
    at += 12 + aligned(nameSize) + aligned(dataSize);
  }
}

/** True when a program needs no dynamic loader. */
export function isStaticProgram(elf: Elf): boolean {
  return !elf.segments.some(({ type }) => type === PT_INTERP);
}

/** The `key=value` strings of a kernel module's information section; a key may come more than once. */
export function readModuleInformation(elf: Elf): Map<string, string[]> {
  const section = elf.sections.find(({ name }) => name === ".modinfo");
  const information = new Map<string, string[]>();
  for (const entry of section?.content.toString("latin1").split("\0") ?? []) {
    const at = entry.indexOf("=");
    if (at === -1) continue;
    const key = entry.slice(0, at);
    information.set(key, [...(information.get(key) ?? []), entry.slice(at + 1)]);
  }
  return information;
}
