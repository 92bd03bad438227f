// The Huffman code of HPACK (RFC 7541, 5.2 and Appendix B). Only decoding: what is sent is never encoded, see
// hpack-encoder.ts.

/**
 * How many bits the code of a symbol has, as a digit in base 36: the 256 bytes, then EOS. The code is canonical (codes of
 * one length follow each other in the order of their symbols), so that the lengths are all there is to know.
 */
const CODE_LENGTHS = [
  "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca",
  "d67777777777777777777777878djde6f56565666577666567655677777fbeds",
  "kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn",
  "qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq",
  "u",
].join("");
const EOS = 256;
/** RFC 7541, 5.2: more padding is an error. */
const MAX_PADDING_BITS = 7;

/**
 * The code's tree: what follows inner node n by bit b is at 2n + b, an inner node or, negative, the complement of a
 * symbol. The root is node 0. 257 leaves make 256 inner nodes, so that a node fits into a byte.
 */
function plantTree(): Int16Array {
  const tree = new Int16Array(2 * (CODE_LENGTHS.length - 1));
  const lengths = Array.from(CODE_LENGTHS, (digit) => Number.parseInt(digit, 36));
  let nodes = 1;
  let code = 0;
  for (let length = 1; length <= Math.max(...lengths); length += 1) {
    code *= 2;
    for (const [symbol, own] of lengths.entries()) {
      if (own !== length) continue;
      let node = 0;
      for (let bit = length - 1; bit > 0; bit -= 1) {
        const branch = node * 2 + ((code >> bit) & 1);
        node = tree[branch] || (tree[branch] = nodes++);
      }
      tree[node * 2 + (code & 1)] = ~symbol;
      code += 1;
    }
  }
  return tree;
}

const TREE = plantTree();

/**
 * What a byte of code does at an inner node, at 256 * node + byte: in bits 0 to 15 the symbols it completes (a byte cannot
 * complete more than two, the shortest code has five bits), in 16 and 17 how many these are, in 18 to 25 the node after
 * it; WRONG if EOS was among the symbols.
 */
const STEPS = new Int32Array(256 * 256);
const WRONG = 1 << 26;

function stepOf(start: number, byte: number): number {
  let node = start;
  let step = 0;
  for (let bit = 7; bit >= 0; bit -= 1) {
    node = TREE[node * 2 + ((byte >> bit) & 1)] ?? 0;
    if (node >= 0) continue;
    const count = (step >> 16) & 3;
    step = ~node === EOS ? step | WRONG : (step | (~node << (8 * count))) + (1 << 16);
    node = 0;
  }
  return step | (node << 18);
}

for (let index = 0; index < STEPS.length; index += 1)
  STEPS[index] = stepOf(index >> 8, index & 0xff);

/** The nodes at which a string may end: the root, and those which up to seven bits of EOS, all ones, lead to. */
const IS_END = new Uint8Array(256);
for (let bits = 0, node = 0; bits <= MAX_PADDING_BITS; bits += 1) {
  IS_END[node] = 1;
  node = TREE[node * 2 + 1] ?? 0;
}

/** Where strings are put together; nothing in it outlives a call. */
const SCRATCH = Buffer.allocUnsafeSlow(4096);

/** The text that the bytes from `start` up to `end` encode; undefined if EOS is in it or its padding is wrong. */
export function decodeHuffman(bytes: Buffer, start: number, end: number): string | undefined {
  // The shortest code has five bits; two symbols are written at each step, whether the step has them or not.
  const most = Math.floor(((end - start) * 8) / 5) + 2;
  const text = most <= SCRATCH.length ? SCRATCH : Buffer.allocUnsafe(most);
  let length = 0;
  let node = 0;
  let seen = 0;
  for (let at = start; at < end; at += 1) {
    const step = STEPS[(node << 8) | (bytes[at] ?? 0)] ?? 0;
    text[length] = step;
    text[length + 1] = step >> 8;
    length += (step >> 16) & 3;
    node = (step >> 18) & 0xff;
    seen |= step;
  }
  if ((seen & WRONG) !== 0 || IS_END[node] !== 1) return undefined;
  return text.toString("latin1", 0, length);
}
