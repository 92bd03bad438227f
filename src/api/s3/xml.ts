// S3's XML: written by hand, because it is flat; read by a parser that resolves no entities of its own making.

import { XMLParser, XMLValidator } from "fast-xml-parser";
import { s3Error } from "../../artifacts/s3-errors.ts";

export const S3_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/";

/** An element's content: text, a number, or more elements. Undefined leaves the element out. */
export type XmlValue = string | number | boolean | undefined | readonly XmlElement[];
export type XmlElement = readonly [name: string, value: XmlValue];

/** A document with one root element; `namespace` goes on it. */
export function xmlDocument(root: XmlElement, namespace?: string): string {
  const [name, value] = root;
  const attribute = namespace === undefined ? "" : ` xmlns="${namespace}"`;
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${name}${attribute}>${xmlContent(value)}</${name}>`;
}

function xmlContent(value: XmlValue): string {
  if (typeof value === "object") return value.map(xmlElement).join("");
  return escapeXml(String(value ?? ""));
}

function xmlElement([name, value]: XmlElement): string {
  return value === undefined ? "" : `<${name}>${xmlContent(value)}</${name}>`;
}

/** Escapes markup, and control characters as S3 does although XML 1.0 has no word for most of them. */
function escapeXml(text: string): string {
  return text.replace(/[&<>"'\u0000-\u0008\u000a-\u001f\u007f]/g, (character) => {
    return MARKUP[character] ?? `&#x${character.charCodeAt(0).toString(16)};`;
  });
}

const MARKUP: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
};

/** A parsed element: its text, or its children by name, each a list. */
export type XmlNode = string | { readonly [name: string]: readonly XmlNode[] };

/** Parses a document whose root is `root`. Throws MalformedXML. */
export function parseXml(text: string, root: string): XmlNode {
  // A document type could define entities; S3's documents have none, nor comments or CDATA.
  if (text.includes("<!") || XMLValidator.validate(text) !== true) throw s3Error("MalformedXML");
  const parser = new XMLParser({
    ignoreAttributes: true,
    parseTagValue: false,
    trimValues: false,
    removeNSPrefix: true,
    ignoreDeclaration: true,
    isArray: () => true,
    // The parser drops references to control characters, and a key without them is another key.
    processEntities: false,
  });
  const [node, ...more] = toNode(parsedBy(parser, text), root);
  if (node === undefined || more.length > 0) throw s3Error("MalformedXML");
  return node;
}

/** The parser has limits of its own, to depth for example, and names that it refuses. */
function parsedBy(parser: XMLParser, text: string): unknown {
  try {
    return parser.parse(text);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw s3Error("MalformedXML");
  }
}

function toNode(parent: unknown, name: string): readonly XmlNode[] {
  if (typeof parent !== "object" || parent === null) return [];
  const value: unknown = (parent as Record<string, unknown>)[name];
  // The parser has made strings and arrays of records; `isArray` above says so.
  return Array.isArray(value) ? (value as readonly XmlNode[]) : [];
}

/** Children of a node with this name. */
export function childrenOf(node: XmlNode, name: string): readonly XmlNode[] {
  return toNode(node, name);
}

/** The text of a node's only child with this name; undefined when there is none. Throws MalformedXML for several. */
export function textOfChild(node: XmlNode, name: string): string | undefined {
  const [child, ...more] = childrenOf(node, name);
  if (child === undefined) return undefined;
  if (more.length > 0 || typeof child !== "string") throw s3Error("MalformedXML");
  return unescapeXml(child);
}

function unescapeXml(text: string): string {
  return text.replace(/&([^;&]{0,10})(;?)/g, (_, name: string, end: string) => {
    const named = Object.entries(MARKUP).find(([, escape]) => escape === `&${name}${end}`);
    if (named !== undefined) return named[0];
    const found = /^#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}))$/.exec(name);
    const [hex, decimal] = [found?.[1], found?.[2]];
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    const isSurrogate = code >= 0xd800 && code <= 0xdfff;
    if (end === "" || isSurrogate || !(code <= 0x10ffff)) throw s3Error("MalformedXML");
    return String.fromCodePoint(code);
  });
}
