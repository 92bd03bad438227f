// Writes a cpio archive in the "newc" form the kernel takes as initramfs. Same entries in, same bytes out.

export type CpioEntry =
  | { readonly type: "directory"; readonly path: string; readonly mode: number }
  | {
      readonly type: "file";
      readonly path: string;
      readonly mode: number;
      readonly content: Buffer;
    }
  | {
      readonly type: "device";
      readonly path: string;
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    };

const FILE_TYPE = { directory: 0o040000, file: 0o100000, device: 0o020000 } as const;

/** An archive of `entries`, in their order: a directory must come before what is in it. Paths are relative. */
export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const parts = entries.flatMap((entry, index) => writeEntry(entry, index + 1));
  return Buffer.concat([...parts, ...writeHeader("TRAILER!!!", 0, 0, 0, 1, [0, 0])]);
}

function writeEntry(entry: CpioEntry, inode: number): Buffer[] {
  const mode = FILE_TYPE[entry.type] | entry.mode;
  const device: [number, number] = entry.type === "device" ? [entry.major, entry.minor] : [0, 0];
  const content = entry.type === "file" ? entry.content : Buffer.alloc(0);
  const links = entry.type === "directory" ? 2 : 1;
  const header = writeHeader(entry.path, inode, mode, content.length, links, device);
  return [...header, content, padding(content.length)];
}

function writeHeader(
  path: string,
  inode: number,
  mode: number,
  size: number,
  links: number,
  [major, minor]: readonly [number, number],
): Buffer[] {
  const name = Buffer.from(`${path}\0`);
  const fields = [inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
  return [Buffer.from(header), name, padding(header.length + name.length)];
}

function padding(size: number): Buffer {
  return Buffer.alloc((4 - (size % 4)) % 4);
}
