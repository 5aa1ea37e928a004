import type { AgentUid, RunId } from '#lib/core/ids'
import type { OutboxRow } from '#lib/core/ports'
import type { Authority, Refusal } from '#lib/core/store'

/** What a switch does: a kill ends runs and refuses messages, a hold lets no step start (2-run-contract, invariant 10). */
export const switchModes = ['kill', 'hold'] as const
/** The mode of a switch. */
export type SwitchMode = (typeof switchModes)[number]

/** What a switch covers: one grammar with budgets and audit (3-http-api). */
export const switchScopePattern =
  /^(?:global|tenant|run:run_[0-9a-f]{1,64}|agent:[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}|user:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|key:[A-Za-z0-9_-]{1,100})$/

/** A kill or hold as it is set. */
export interface SwitchView {
  scope: string
  mode: SwitchMode
  reason: string
  actor: string
  createdAt: string
}

/** What came of setting or lifting: `more` runs are left for the next batch. */
interface Switched {
  ok: true
  switch: SwitchView
  more: boolean
  outbox: OutboxRow[]
}

/** Which ended runs a bulk retry takes: the newest of each agent that fits; `from` and `to` are about when it ended. */
export interface RetryFilter {
  state?: string
  stopReason?: string
  template?: string
  from?: string
  to?: string
}

/** The part of the store that is about kill, hold and what comes after them. */
export interface SwitchStore {
  /** `agentUid` where only one agent is concerned; `ended` counts the runs that ended in the same transaction. */
  setSwitch(
    authority: Authority,
    request: { scope: string; mode: SwitchMode; reason: string },
  ): Promise<(Switched & { changed: boolean; ended: number; agentUid: AgentUid | null }) | Refusal>
  liftSwitch(authority: Authority, request: { scope: string; reason: string | null }): Promise<(Switched & { resumed: number }) | Refusal>
  listSwitches(authority: Authority, query: { limit: number; after: string | null }): Promise<{ ok: true; data: SwitchView[] } | Refusal>
  /** One more batch of what switches have left to do. */
  applySwitchWork(request: {
    environment: string
    limit: number
  }): Promise<{ ended: number; resumed: number; more: boolean; outbox: OutboxRow[] }>
  retryCandidates(
    authority: Authority,
    request: { filter: RetryFilter; limit: number; newRunIds: RunId[]; idempotency: { key: string; hash: string } | null },
  ): Promise<{ ok: true; replayed: boolean; data: { runId: RunId; newRunId: RunId }[] } | Refusal>
}
