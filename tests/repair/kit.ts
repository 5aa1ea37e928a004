import { expect } from 'vitest'
import type { Finding } from '#lib/core/operations'
import type { CallId } from '#lib/core/ids'
import { answered, authority, commit, completed, hold, message, ok, toolCall, type Held, type StoreKit } from '#tests/store/kit'

/** An agent with two turns behind it, the first with two tool calls: messages user, assistant, tool, assistant, user, assistant. */
export interface Worked {
  agent: string
  agentUid: string
  runId: string
  secondRun: string
  callIds: [CallId, CallId]
}

/** The step of an answer that asks for tools, whose calls are at work then. */
export async function asked(kit: StoreKit, held: Held, ...calls: ReturnType<typeof toolCall>[]): Promise<void> {
  const parts = calls.map(({ callId, name, input }) => ({ type: 'tool-call' as const, toolCallId: callId, toolName: name, input }))
  const happened = { messages: [message('assistant', parts)], calls, count: { step: 1, steps: 1, modelCalls: 1 } }
  await commit(kit, held, happened, { start: calls.map(({ callId }) => callId) })
}

/** Makes the agent of {@link Worked}; its reservations are settled. */
export async function worked(kit: StoreKit, agent: string): Promise<Worked> {
  const held = await hold(kit, agent)
  const calls = [toolCall(0), toolCall(1)] as const
  await asked(kit, held, ...calls)
  const done = calls.map((call, index) => ({
    ...call,
    state: 'completed' as const,
    output: { type: 'text' as const, value: `result ${index}` },
  }))
  await commit(kit, held, { calls: done })
  await commit(kit, held, { ...answered('first'), count: { step: 2, steps: 1, modelCalls: 1 } }, completed)
  const second = await hold(kit, agent)
  await commit(kit, second, answered('second'), completed)
  return { agent, agentUid: held.agentUid, runId: held.runId, secondRun: second.runId, callIds: [calls[0].callId, calls[1].callId] }
}

type Fsck = StoreKit['store']['fsck']

/** The whole walk of fsck: a call ends after two seconds, wherever it stands then. */
export async function walked(kit: StoreKit, over: Partial<Parameters<Fsck>[0]> = {}) {
  const all: Awaited<ReturnType<Fsck>>[] = []
  let after: string | null = null
  do {
    const page: Awaited<ReturnType<Fsck>> = await kit.store.fsck({ environment: 'test', repair: false, ...over, after })
    all.push(page)
    after = page.next
  } while (after !== null)
  return {
    data: all.flatMap(({ data }) => data),
    budgets: all.flatMap(({ budgets }) => budgets),
    checked: all.reduce((sum, page) => sum + page.checked, 0),
  }
}

/** What the check finds, without the words that explain it. */
export async function findings(kit: StoreKit, agent: string): Promise<Finding[]> {
  return ok(await kit.store.consistency(authority, agent)).findings
}

export const codes = (found: readonly Finding[]): string[] => [...new Set(found.map(({ code }) => code))].toSorted()

/** Repairs, and sees that nothing is left, that a second repair does nothing, and that each repair stands in the audit. */
export async function repaired(kit: StoreKit, agent: string): Promise<Finding[]> {
  const before = (await kit.sql(`select 1 from baton.audit where action = 'agent.repair' and agent_id = $1`, [agent])).length
  const answer = ok(await kit.store.repairAgent(authority, agent))
  expect(answer.left).toEqual([])
  expect(await findings(kit, agent)).toEqual([])
  const again = ok(await kit.store.repairAgent(authority, agent))
  expect(again).toMatchObject({ findings: [], repaired: [], left: [] })
  const after = (await kit.sql(`select 1 from baton.audit where action = 'agent.repair' and agent_id = $1`, [agent])).length
  expect(after - before).toBe(answer.repaired.length)
  return answer.repaired
}

/** The conversation as rows. */
export async function history(
  kit: StoreKit,
  agentUid: string,
): Promise<{ seq: number; runId: string | null; role: string; kind: string; content: unknown }[]> {
  return kit.sql('select seq::integer, run_id as "runId", role, kind, content from baton.messages where agent_uid = $1 order by seq', [
    agentUid,
  ])
}
