import { agentsOf, type Agents } from '#client/agents'
import { createApi, type ApiRequest, type BatonOptions, type CallOptions } from '#client/http'
import { listOf, type ListOptions, type Pages } from '#client/pages'
import { runsOf, type Runs } from '#client/runs'
import type { Approval, Budget, BudgetLimits, BudgetOfScope, BudgetPeriod, Decision, Run, UsageGroup, UsageRow } from '#client/types'
import { verifyWebhook } from '#client/webhooks'

/** The inbox of what people must decide. */
export interface Approvals {
  list(
    filter?: ListOptions & { state?: Approval['state']; agent?: string; run?: string; tool?: string; from?: string; to?: string },
  ): Pages<Approval>
  get(id: string, options?: CallOptions): Promise<Approval>
  /** Counts once: the same decision again is answered as the first was, another is 409 `already_decided`. */
  decide(id: string, decision: Decision, options?: CallOptions): Promise<Approval & { replayed: boolean; run: Run }>
}

/** Limits of money, tokens and calls: `global`, `tenant`, `user:ID`, `key:ID`, `agent:ID`, `run:ID`, `tool:NAME`. */
export interface Budgets {
  list(options?: ListOptions): Pages<Budget>
  get(scope: string, options?: CallOptions & { period?: BudgetPeriod }): Promise<BudgetOfScope>
  /** Replaces the limits of one period (lifetime). */
  set(scope: string, limits: BudgetLimits, options?: CallOptions): Promise<BudgetOfScope>
  delete(scope: string, options?: CallOptions & { period?: BudgetPeriod }): Promise<void>
}

/** A Baton deployment. */
export interface Baton {
  agents: Agents
  runs: Runs
  approvals: Approvals
  budgets: Budgets
  /** What was spent, from the ledger; without `from` the last 30 days. */
  usage(filter?: ListOptions & { groupBy?: UsageGroup; from?: string; to?: string }): Pages<UsageRow>
  webhooks: { verify: typeof verifyWebhook }
  /** Any other call of the API (docs/, /api/openapi.json): its JSON, as it comes. Throws BatonError. */
  request<T = unknown>(method: string, path: string, request?: ApiRequest): Promise<T>
}

/** Connects to a deployment; nothing is sent yet. */
export function createBaton(options: BatonOptions): Baton {
  const api = createApi(options)
  const runs = runsOf(api)
  const approval = (id: string): string => `/api/approvals/${encodeURIComponent(id)}`
  const budget = (scope: string): string => `/api/budgets/${encodeURIComponent(scope)}`
  return {
    runs,
    agents: agentsOf(api, runs),
    approvals: {
      list: (filter) => listOf(api, '/api/approvals', filter),
      get: (id, call) => api.json('GET', approval(id), call),
      decide: (id, body, call) => api.json('POST', approval(id), { ...call, body }),
    },
    budgets: {
      list: (filter) => listOf(api, '/api/budgets', filter),
      get: (scope, { period, ...call } = {}) => api.json('GET', budget(scope), { ...call, query: { period } }),
      set: (scope, body, call) => api.json('PUT', budget(scope), { ...call, body }),
      delete: (scope, { period, ...call } = {}) => api.json('DELETE', budget(scope), { ...call, query: { period } }),
    },
    usage: (filter) => listOf(api, '/api/usage', filter),
    webhooks: { verify: verifyWebhook },
    request: (method, path, request) => api.json(method, path, { repeatable: method === 'GET', ...request }),
  }
}
