import type { ApprovalWrite } from '#lib/core/approvals'
import type { CallWrite } from '#lib/core/commit'
import { authority, commit, hold, ids, message, ok, toolCall, type Held, type StoreKit } from '#tests/store/kit'

/** A call that a person must decide about. */
export function askedCall(
  index: number,
  over: Partial<CallWrite> = {},
  approval: Partial<ApprovalWrite> = {},
): CallWrite & { approval: ApprovalWrite } {
  return {
    ...toolCall(index, { name: 'charge', effect: 'once', ...over }),
    state: 'approval_required',
    approval: {
      id: ids.make('apr'),
      kind: 'permission',
      reason: 'ask names charge',
      inputHash: 'hash',
      fingerprint: 'tool',
      expiresMs: 7 * 86_400_000,
      defaultDecision: 'deny',
      ...approval,
    },
  }
}

/** An answer of the model with these calls, as the executor commits it: the allowed ones start, else the run pauses. */
export async function answerWith(kit: StoreKit, held: Held, calls: CallWrite[]): Promise<Awaited<ReturnType<typeof commit>>> {
  const content = calls.map((call) => ({ type: 'tool-call' as const, toolCallId: call.callId, toolName: call.name, input: call.input }))
  const start = calls.filter((call) => call.state === 'pending')
  const inside = start.filter((call) => call.effect !== 'external')
  return commit(
    kit,
    held,
    { messages: [message('assistant', content)], calls, count: { step: 1, steps: 1, modelCalls: 1 } },
    {
      start: start.map((call) => call.callId),
      waiting: calls.filter((call) => !inside.includes(call)).map((call) => call.callId),
      ...(inside.length === 0 ? { pause: true } : {}),
    },
  )
}

/** A run that has paused for these calls. */
export async function paused(kit: StoreKit, agent: string, calls: CallWrite[], over: Parameters<typeof hold>[2] = {}): Promise<Held> {
  const held = await hold(kit, agent, over)
  const answer = await answerWith(kit, held, calls)
  if (!answer.released) throw new Error('the run did not pause')
  return held
}

/** Everything about a run that these tests look at. */
export async function facts(kit: StoreKit, held: Held) {
  const { run } = ok(await kit.store.getRun(authority, held.runId))
  const { data: calls } = await kit.store.listToolCalls({ agentUid: held.agentUid, limit: 100, after: null })
  const approvals = ok(await kit.store.listApprovals(authority, { limit: 100, after: null, runId: held.runId })).data
  const events = ok(await kit.store.listEvents({ agentUid: held.agentUid, after: 0, limit: 200 })).data
  const messages = (await kit.store.listMessages({ agentUid: held.agentUid, limit: 100 })).data
  const continuations = await kit.sql<{ n: number }>(
    `select count(*)::integer as n from baton.outbox where agent_uid = $1 and kind = 'continue' and data ->> 'runId' = $2`,
    [held.agentUid, held.runId],
  )
  return {
    run,
    calls,
    approvals,
    events,
    roles: messages.map((row) => row.role),
    continuations: continuations[0]?.n ?? 0,
    decided: events.filter((event) => event.type === 'approval_decided'),
  }
}
