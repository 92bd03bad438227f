// Endpoint tokens: who may reach which ports of which microVM, or its shell, until when.

export type PortGrant =
  | { readonly port: number }
  | { readonly range: { readonly startPort: number; readonly endPort: number } }
  | { readonly allPorts: Record<string, never> };

export interface TokenClaims {
  readonly microvmId: string;
  /** None in a token for the shell. */
  readonly ports: readonly PortGrant[];
  /** Set in a token for the shell, which opens nothing else. */
  readonly shell?: true;
  /** Epoch ms. */
  readonly expiresAt: number;
}

/** Longest life of a token. */
export const TOKEN_LIFETIME_LIMIT_MS = 60 * 60 * 1000;

export interface Tokens {
  /** A compact JWE (dir, A256GCM) with the claims sealed inside. */
  mint(claims: TokenClaims): Promise<string>;
  /** The claims of a token this installation minted; undefined when it is not one, or has expired. */
  open(token: string): Promise<TokenClaims | undefined>;
}
