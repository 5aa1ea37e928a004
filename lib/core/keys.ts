import { z } from 'zod'
import type { Authority, Refusal } from '#lib/core/store'

/** What an API key may do; `admin` is all of them, the others imply nothing (docs/security.md). */
export const keyScope = z.enum(['agents:read', 'agents:run', 'approvals:decide', 'admin'])
/** One right of an API key. */
export type KeyScope = z.infer<typeof keyScope>

/** What the text of every API key begins with. */
export const keyStart = 'bt_'

/** An API key as its admins see it; the key itself is shown once, when it is made. */
export interface KeyView {
  id: string
  name: string
  /** The beginning of the key, to tell keys apart by. */
  prefix: string
  scopes: KeyScope[]
  active: boolean
  expiresAt: string | null
  revokedAt: string | null
  /** To the minute. */
  lastUsedAt: string | null
  createdBy: string
  rotatedFrom: string | null
  createdAt: string
}

/** What is stored of a new key: never the key itself. */
export interface NewKey {
  id: string
  /** SHA-256 of the key, in hex. */
  hash: string
  prefix: string
}

/** A key that was made, read or changed. */
export interface KeyAnswer {
  ok: true
  key: KeyView
}

/** A rotation: the new key, and the old one with the end of its overlap. */
export interface RotatedKey extends KeyAnswer {
  old: KeyView
}

/** The first tenant and its first admin key (npm run bootstrap). `secret` is sealed. */
export interface BootstrapRequest {
  tenant: string
  environment: string
  secret: string
  key: NewKey & { name: string }
  /** Makes a key also where admin keys exist. */
  anew: boolean
  /** Also a tenant that exists signs with `secret` from now on. */
  newSecret: boolean
}

/** What the bootstrap has made, and how many admin keys there were before. */
export interface Bootstrapped {
  ok: true
  tenantMade: boolean
  secretMade: boolean
  keyMade: boolean
  adminKeys: number
}

/** The part of the store that holds API keys. */
export interface KeyStore {
  createKey(
    authority: Authority,
    key: NewKey & { name: string; scopes: readonly KeyScope[]; expiresAt: string | null },
  ): Promise<KeyAnswer | Refusal>
  getKey(authority: Authority, key: string): Promise<KeyAnswer | Refusal>
  listKeys(authority: Authority, query: { limit: number; after: string | null }): Promise<KeyView[]>
  patchKey(authority: Authority, key: string, patch: { name?: string; expiresAt?: string | null }): Promise<KeyAnswer | Refusal>
  revokeKey(authority: Authority, key: string): Promise<KeyAnswer | Refusal>
  rotateKey(authority: Authority, key: string, made: NewKey & { overlapMs: number }): Promise<RotatedKey | Refusal>
  /** Whether any key could let anybody into the environment. */
  hasKeys(environment: string): Promise<boolean>
  bootstrap(request: BootstrapRequest): Promise<Bootstrapped | Refusal>
}
