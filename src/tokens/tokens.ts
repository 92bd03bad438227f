// Tokens: who may reach which ports of which microVM, or open a shell in it, until when.

import type { Known } from "../lib/known.ts";

export type PortGrant =
  | { readonly port: number }
  | { readonly range: { readonly startPort: number; readonly endPort: number } }
  | { readonly allPorts: Record<string, never> };

/** Of an endpoint token: ports and nothing else. */
export interface EndpointClaims {
  readonly microvmId: string;
  readonly ports: readonly PortGrant[];
  /** Epoch ms. */
  readonly expiresAt: number;
}

/** Longest life of a token. */
export const TOKEN_LIFETIME_LIMIT_MS = 60 * 60 * 1000;
/** Of a shell token: a shell and no port. */
export interface ShellClaims {
  readonly microvmId: string;
  readonly shell: true;
  /** Epoch ms. */
  readonly expiresAt: number;
}

export type TokenClaims = EndpointClaims | ShellClaims;

export interface Tokens {
  /** A compact JWE (dir, A256GCM) with the claims sealed inside. */
  mint(claims: TokenClaims): Promise<string>;
  /** The claims of a token this installation minted; undefined when it is not one, or has expired. */
  open(token: string): Known<TokenClaims | undefined>;
}
