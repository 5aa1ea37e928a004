import { z } from 'zod'
import { BatonError, isErrorCode } from '#lib/core/errors'
import type { KeyAnswer, KeyView, RotatedKey } from '#lib/core/keys'
import type { AgentView, EventsPage, MessagesPage, Page, RunDetails, Store } from '#lib/core/pages'
import type { OutboxRow } from '#lib/core/ports'
import type { Opened, StoredMessage, ToolCall } from '#lib/core/run'
import type { CommitAnswer, Gates } from '#lib/core/commit'
import type { ClaimAnswer, OpenAnswer, Refusal, RunView } from '#lib/core/store'
import { again } from '#lib/store/again'
import { monitorStore } from '#lib/store/monitor'
import type { Rpc } from '#lib/store/rpc'
import { operationsStore } from '#lib/store/operations'
import { webhookStore } from '#lib/store/webhooks'

const answer = z.looseObject({ ok: z.boolean() })

/** What a claim or open answer holds for the executor, before the lease is put into it. */
interface RawOpened extends Omit<Opened, 'lease'> {
  epoch: number
  opening: OpenAnswer['opening']
  gates: Gates
  kept: StoredMessage[]
}

/**
 * The Store over SQL functions (5-data). Every mutating call carries ids of the caller's process and repeats to its first result,
 * so a caller whose reply was lost may simply call again.
 */
export function createStore(rpc: Rpc): Store {
  // The shapes inside are ours: made by the SQL functions of this repository and checked by the store's own test suite.
  async function call<Answer>(name: string, argument: object): Promise<Answer> {
    return answer.parse(await rpc(`baton_${name}`, argument)) as Answer
  }
  /** On a schema of before an upgrade a page ends at its number alone, and does not say so. */
  async function pageOf<Answer extends { ok: true } & Page<unknown>>(
    name: string,
    argument: { limit?: number },
  ): Promise<Answer | Refusal> {
    const page = await call<Answer | Refusal>(name, argument)
    if (!page.ok) return page
    const told: { more?: boolean } = page
    return { ...page, more: told.more ?? page.data.length >= (argument.limit ?? lists.limit) }
  }
  async function page<Row>(name: string, argument: { limit?: number }): Promise<Page<Row>> {
    const page = await pageOf<{ ok: true } & Page<Row>>(name, argument)
    if (page.ok) return page
    const { ok: _ok, code, ...details } = page
    const text = code === 'unauthorized' ? 'The credential is unknown, expired or revoked.' : 'The credential may not read this list.'
    throw new BatonError(isErrorCode(code) ? code : 'internal_error', text, details)
  }
  const rows = async <Row>(name: string, argument: { limit?: number }): Promise<Row[]> => (await page<Row>(name, argument)).data
  const lists = { limit: 200 }

  return {
    ...webhookStore(call),
    ...monitorStore(call),
    ...operationsStore(call),
    async open(request) {
      const result = await again(() => call<(OpenAnswer & { opened: RawOpened | null }) | Refusal>('open', request))
      if (!result.ok) return result
      const { opened: raw, ...rest } = result
      if (raw === null || request.execute === null) return rest
      // What was reserved with it is told by the run's row: counters are touched after the rest was read.
      const { reservedMicros } = rest.run
      return { ...rest, ...withLease({ ...raw, run: { ...raw.run, reservedMicros } }, request.execute) }
    },
    async claim(request) {
      const result = await again(() => call<{ ok: true; opened: RawOpened; outbox: OutboxRow[] } | Refusal>('claim', request))
      return result.ok ? ({ ok: true, outbox: result.outbox, ...withLease(result.opened, request) } satisfies ClaimAnswer) : result
    },
    commit: (commit) => call<CommitAnswer | Refusal>('commit', commit),
    renew: (request) => call('renew', request),
    async settle(request) {
      await again(() => call('settle', request))
    },
    async outboxSent(ids) {
      if (ids.length > 0) await call('outbox_sent', { ids })
    },
    createAgent: (request) => call('create_agent', request),
    getAgent: (authority, agent, cost = false) => call('get_agent', { ...authority, agent, cost }),
    patchAgent: (authority, agent, patch) => call('patch_agent', { ...authority, agent, ...patch }),
    deleteAgent: (authority, agent) => call('delete_agent', { ...authority, agent }),
    listAgents: (authority, query) => rows<AgentView>('list_agents', { ...lists, ...query, ...authority }),
    getRun: (authority, runId) => call<RunDetails | Refusal>('get_run', { ...authority, runId }),
    listRuns: (authority, query) => page<RunView>('list_runs', { ...lists, ...query, ...authority }),
    listAudit: (authority, query) => call('list_audit', { ...query, ...authority }),
    listMessages: (query) => call<MessagesPage>('list_messages', query),
    listToolCalls: (query) => page<ToolCall & Record<string, unknown>>('list_tool_calls', query),
    listEvents: (query) => pageOf<EventsPage>('list_events', query),
    decide: (authority, request) => again(() => call('decide', { ...authority, ...request })),
    getApproval: (authority, approvalId, toDecide = false) => call('get_approval', { approvalId, toDecide, ...authority }),
    listApprovals: (authority, query) => pageOf('list_approvals', { ...lists, ...authority, ...query }),
    callResult: (request) => call('call_result', request),
    stop: (authority, target, kind, note) => call('stop', { ...authority, ...target, kind, note }),
    retry: (authority, request) => again(() => call<OpenAnswer | Refusal>('retry', { ...request, ...authority })),
    createKey: (authority, key) => again(() => call<KeyAnswer | Refusal>('create_key', { ...key, ...authority })),
    getKey: (authority, key) => call('get_key', { key, ...authority }),
    listKeys: (authority, query) => rows<KeyView>('list_keys', { ...lists, ...query, ...authority }),
    patchKey: (authority, key, patch) => call('patch_key', { ...patch, key, ...authority }),
    revokeKey: (authority, key) => call('revoke_key', { key, ...authority }),
    rotateKey: (authority, key, made) => again(() => call<RotatedKey | Refusal>('rotate_key', { ...made, key, ...authority })),
    hasKeys: async (environment) => (await call<{ keys: boolean }>('has_keys', { environment })).keys,
    bootstrap: (request) => again(() => call('bootstrap', request)),
    setSwitch: (authority, request) => call('set_switch', { ...request, ...authority }),
    liftSwitch: (authority, request) => call('lift_switch', { ...request, ...authority }),
    listSwitches: (authority, query) => call('list_switches', { ...lists, ...query, ...authority }),
    applySwitchWork: (request) => call('apply_switch_work', request),
    retryCandidates: (authority, request) => call('retry_candidates', { ...request, ...authority }),
    getBudget: (authority, of) => call('get_budget', { ...authority, ...of }),
    listBudgets: (authority, page) => call('list_budgets', { ...authority, ...page }),
    putBudget: (authority, of, limits) => call('put_budget', { ...authority, ...of, ...limits }),
    deleteBudget: (authority, of) => call('delete_budget', { ...authority, ...of }),
    wakeBudgets: (authority, of) => call('wake_budgets', { ...authority, ...of }),
    usage: (authority, query) => call('usage', { ...authority, ...query }),
    sweep: (request) => call('sweep', request),
    ensureTenant: async (tenant) => (await call<{ ok: boolean }>('ensure_tenant', tenant)).ok,
    getTenant: (of) => call('get_tenant', of),
    limitsOf: (authority) => call('limits_of', authority),
    tenantLimits: (of) => call('tenant_limits', of),
    listLimits: (authority) => call('list_limits', authority),
    setLimit: (authority, limit) => call('set_limit', { ...authority, ...limit }),
    limitRefused: (authority, refused) => call('limit_refused', { ...authority, ...refused }),
  }
}

function withLease(
  raw: RawOpened,
  lease: { sliceId: Opened['lease']['sliceId']; leaseMs: number },
): Pick<ClaimAnswer, 'opened' | 'opening' | 'gates'> {
  const { epoch, opening, gates, kept, ...opened } = raw
  return {
    opened: { ...opened, window: [...kept, ...opened.window], lease: { sliceId: lease.sliceId, epoch, leaseMs: lease.leaseMs } },
    opening: opening ?? null,
    gates,
  }
}
