import type { LimitValues, TenantLimits } from '#lib/core/rate'
import type { Authority, Refusal } from '#lib/core/store'

/** What has been set for a scope, and by whom. */
export interface LimitView extends LimitValues {
  scope: string
  updatedBy: string
  updatedAt: string
}

/** The part of the store that holds limits. */
export interface LimitStore {
  /** Who the credential is and what is set for its tenant. */
  limitsOf(authority: Authority): Promise<{ ok: true; tenant: string; caller: string; limits: TenantLimits } | Refusal>
  tenantLimits(of: { tenant: string; environment: string }): Promise<{ ok: true; limits: TenantLimits }>
  listLimits(authority: Authority): Promise<{ ok: true; data: LimitView[] } | Refusal>
  /** Replaces what is set for the scope; no values at all give it its defaults back. */
  setLimit(authority: Authority, limit: { scope: string; values: LimitValues }): Promise<{ ok: true; limit: LimitView } | Refusal>
  /** Writes one audit entry about refused requests. */
  limitRefused(authority: Authority, refused: { limit: string; perWindow: number; count: number }): Promise<{ ok: true } | Refusal>
}
