// Makes small ELF files, so that the reader is tested on bytes that are known.

export interface ElfParts {
  readonly segments?: readonly { readonly type: number; readonly content: Buffer }[];
  readonly sections?: readonly { readonly name: string; readonly content: Buffer }[];
}

/** A 64-bit little-endian ELF file of these segments and sections. */
export function makeElf({ segments = [], sections = [] }: ElfParts): Buffer {
  const named = [{ name: "", content: Buffer.alloc(0) }, ...sections];
  const names = Buffer.from(`${named.map(({ name }) => name).join("\0")}\0.shstrtab\0`);
  const all = [...named, { name: ".shstrtab", content: names }];
  const segmentTable = 64;
  const sectionTable = segmentTable + segments.length * 56;
  let at = sectionTable + all.length * 64;
  const file: Buffer[] = [Buffer.alloc(at)];
  const header = file[0] ?? Buffer.alloc(0);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(header);
  header.writeBigUInt64LE(BigInt(segmentTable), 0x20);
  header.writeBigUInt64LE(BigInt(sectionTable), 0x28);
  header.writeUInt16LE(56, 0x36);
  header.writeUInt16LE(segments.length, 0x38);
  header.writeUInt16LE(64, 0x3a);
  header.writeUInt16LE(all.length, 0x3c);
  header.writeUInt16LE(all.length - 1, 0x3e);
  for (const [index, { type, content }] of segments.entries()) {
    const entry = segmentTable + index * 56;
    header.writeUInt32LE(type, entry);
    header.writeBigUInt64LE(BigInt(at), entry + 8);
    header.writeBigUInt64LE(BigInt(content.length), entry + 32);
    file.push(content);
    at += content.length;
  }
  let nameAt = 0;
  for (const [index, { name, content }] of all.entries()) {
    const entry = sectionTable + index * 64;
    header.writeUInt32LE(nameAt, entry);
    header.writeUInt32LE(1, entry + 4);
    header.writeBigUInt64LE(BigInt(at), entry + 24);
    header.writeBigUInt64LE(BigInt(content.length), entry + 32);
    nameAt += name.length + 1;
    file.push(content);
    at += content.length;
  }
  return Buffer.concat(file);
}

/** One entry of a note segment. */
export function makeNote(name: string, type: number, data: Buffer): Buffer {
  const padded = (content: Buffer) =>
    Buffer.concat([content, Buffer.alloc((4 - (content.length % 4)) % 4)]);
  const nameBytes = Buffer.from(`${name}\0`);
  const header = Buffer.alloc(12);
  header.writeUInt32LE(nameBytes.length, 0);
  header.writeUInt32LE(data.length, 4);
  header.writeUInt32LE(type, 8);
  return Buffer.concat([header, padded(nameBytes), padded(data)]);
}
