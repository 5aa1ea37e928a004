import { z } from 'zod'
import { BatonError } from '#lib/core/errors'
import type { AgentView, EventsPage, QueuedMessage, RunDetails, Store, TakenDelivery } from '#lib/core/pages'
import type { OutboxRow } from '#lib/core/ports'
import type { Opened, StoredMessage, ToolCall } from '#lib/core/run'
import type { ClaimAnswer, CommitAnswer, Gates, OpenAnswer, Refusal, RunView } from '#lib/core/store'
import type { Rpc } from '#lib/store/rpc'

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
  async function page<Row>(name: string, argument: object): Promise<Row[]> {
    return (await call<{ data: Row[] }>(name, argument)).data
  }
  const lists = { limit: 200 }

  return {
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
    createAgent: (request) => call<{ ok: true; created: boolean; agent: AgentView } | Refusal>('create_agent', request),
    getAgent: (authority, agent, cost = false) => call('get_agent', { ...authority, agent, cost }),
    patchAgent: (authority, agent, patch) => call('patch_agent', { ...authority, agent, ...patch }),
    deleteAgent: (authority, agent) => call('delete_agent', { ...authority, agent }),
    listAgents: (authority, query) => page<AgentView>('list_agents', { ...lists, ...authority, ...query }),
    getRun: (authority, runId) => call<RunDetails | Refusal>('get_run', { ...authority, runId }),
    listRuns: (authority, query) => page<RunView>('list_runs', { ...lists, ...authority, ...query }),
    listMessages: (query) =>
      call<{ data: (StoredMessage & { at: string; kind: string })[]; queued: QueuedMessage[] }>('list_messages', query),
    listToolCalls: (query) => page<ToolCall & Record<string, unknown>>('list_tool_calls', query),
    listEvents: (query) => call<EventsPage | Refusal>('list_events', query),
    stop: (authority, target, kind, note) => call('stop', { ...authority, ...target, kind, note }),
    retry: (authority, request) => again(() => call<OpenAnswer | Refusal>('retry', { ...authority, ...request })),
    getBudget: (authority, of) => call('get_budget', { ...authority, ...of }),
    listBudgets: (authority, page) => call('list_budgets', { ...authority, ...page }),
    putBudget: (authority, of, limits) => call('put_budget', { ...authority, ...of, ...limits }),
    deleteBudget: (authority, of) => call('delete_budget', { ...authority, ...of }),
    usage: (authority, query) => call('usage', { ...authority, ...query }),
    sweep: (request) => call('sweep', request),
    takeDelivery: (request) => call<TakenDelivery | Refusal>('take_delivery', request),
    recordDelivery: (request) => call('record_delivery', request),
    prune: (request) => call('prune', request),
    ensureTenant: async (tenant) => (await call<{ ok: boolean }>('ensure_tenant', tenant)).ok,
    getTenant: (of) => call('get_tenant', of),
    health: (environment) => call('health', { environment }),
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

/** A reply that was lost is asked for once more under the same ids (invariant 3). */
async function again<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof BatonError) || error.code !== 'database_unavailable') throw error
    return ask()
  }
}
