import type { Evidence, Sql } from '#scripts/chaos/checks/evidence'
import type { Effect } from '#scripts/chaos/effects'
import { bookFaults } from '#scripts/chaos/money'

/** A violation that somebody puts into good evidence: rows by SQL, or what was seen. */
export interface Plant {
  sql?: string
  seen?: (evidence: Evidence & { effects: Effect[] }, sql: Sql) => Partial<Evidence> | Promise<Partial<Evidence>>
}

const of = (agent: string): string => `agent_uid = (select agent_uid from baton.agents where id = '${agent}')`
const toolLine = (effects: readonly Effect[], name: string): Effect => {
  const line = effects.find((effect) => effect.name === name)
  if (line === undefined) throw new Error(`there is no effect of ${name}`)
  return line
}
/** An effect of the slice before, after those of the slice that went on. On a slow machine the first slice has handed over before any. */
const late = ({ effects }: { effects: Effect[] }): Partial<Evidence> => {
  const last = effects.findLast((line) => line.agentId === 'handed')
  if (last === undefined || last.epoch < 2) throw new Error('nothing was handed over')
  return { effects: [...effects, { ...last, epoch: last.epoch - 1 }] }
}

/** One plant for each check, by the check's name. The agents are those of checker.test.ts. */
export const plants: Readonly<Record<string, Plant>> = {
  'an accepted message is not in its conversation': { sql: `update baton.runs set opening_seq = 99 where ${of('tools')}` },
  'an idempotency key has no run': { sql: `update baton.idempotency set run_id = 'run_gone' where ${of('tools')}` },
  'an accepted message is lost, or a repeat has started a run': {
    seen: ({ accepted }) => ({ accepted: new Map([...(accepted ?? []), ['lost', 'run_lost']]) }),
  },
  'epochs do not rise': {
    sql: `insert into baton.events (agent_uid, seq, tenant_id, channel, type, data, run_id)
      select agent_uid, seq + 1000, tenant_id, channel, type, data, run_id from baton.events where type = 'resumed' and ${of('handed')}`,
  },
  'an effect began after its lease had been taken over': {
    sql: `update baton.events set data = jsonb_set(data::jsonb, '{strategy}', '"crash"') where type = 'resumed' and ${of('handed')}`,
    seen: late,
  },
  'an effect began after its slice had handed over': { seen: late },
  'messages have a gap': { sql: `delete from baton.messages where seq = 1 and ${of('tools')}` },
  'answers and model calls differ': { sql: `update baton.runs set model_calls = model_calls + 1 where ${of('tools')}` },
  'the window is miscounted': { sql: `update baton.agents set window_tokens = window_tokens + 1 where id = 'tools'` },
  'Baton finds a row that does not fit': { sql: `update baton.agents set steps = steps + 1 where id = 'tools'` },
  'a call has not one start and one end event': { sql: `delete from baton.events where type = 'tool_end' and ${of('tools')}` },
  'a once effect was repeated': { seen: ({ effects }) => ({ effects: [...effects, toolLine(effects, 'charge')] }) },
  'an idempotency key changed': {
    seen: ({ effects }) => ({ effects: [...effects, { ...toolLine(effects, 'count'), idempotencyKey: 'another' }] }),
  },
  'a call was completed and never executed': { seen: ({ effects }) => ({ effects: effects.filter((line) => line.name !== 'count') }) },
  'an effect was begun without intent': { seen: ({ effects }) => ({ effects: [...effects, toolLine(effects, 'echo')] }) },
  'an unknown outcome is not told': {
    sql: `update baton.tool_calls set state = 'sealed', output = '{"type":"text","value":"gone"}' where name = 'charge' and ${of('tools')}`,
  },
  'an effect has no record': { seen: ({ effects }) => ({ effects: [...effects, { ...toolLine(effects, 'echo'), callId: 'call_gone' }] }) },
  'a call has no end or is not in the history': { sql: `update baton.tool_calls set entered = false where ${of('tools')}` },
  'a call dangles in the history': { sql: `delete from baton.messages where role = 'tool' and ${of('tools')}` },
  'a run has not ended': { sql: `update baton.runs set state = 'running', ended_at = null where ${of('tools')}` },
  'an agent is not at rest': { sql: `update baton.agents set lease_owner = 'slice_left' where id = 'tools'` },
  'an outbox row was never sent': { sql: `update baton.outbox set sent_at = null where ${of('handed')}` },
  'events have a gap': { sql: `delete from baton.events where seq = 2 and ${of('tools')}` },
  'a reader missed, doubled or reordered events': {
    seen: ({ followed = [] }) => ({ followed: followed.map(({ agent, seqs }) => ({ agent, seqs: seqs.toSpliced(1, 0, 1) })) }),
  },
  'money is still reserved': { sql: `update baton.runs set reserved_micros = 1 where ${of('tools')}` },
  'the cost is not the sum of what was booked': { sql: `update baton.runs set cost_micros = cost_micros + 1 where ${of('tools')}` },
  'a run spent more than its limit': {
    sql: `update baton.runs set limits = jsonb_set(limits, '{maxCostMicros}', '1') where ${of('tools')}`,
  },
  'a limit was passed, or a counter is not the sum of its ledger': {
    sql: `update baton.budget_counters set spent_micros = spent_micros + 1 where scope = 'agent:tools'`,
    seen: async (_, sql) => ({ passedLimits: await bookFaults(sql) }),
  },
  'an effect began under a kill or hold': {
    seen: ({ effects }) => ({ switches: [{ agent: 'tools', mode: 'hold', effects: effects.slice(0, 1), end: null }] }),
  },
  'a killed run did not end killed': {
    seen: () => ({
      switches: [{ agent: 'tools', mode: 'kill', effects: [], end: { runId: 'run', state: 'completed', stopReason: 'end_turn' } }],
    }),
  },
  'a run has not exactly one terminal event that names its end': {
    sql: `update baton.events set data = jsonb_set(data::jsonb, '{state}', '"failed"') where type = 'done' and ${of('tools')}`,
  },
  'an event follows the end of its run': {
    sql: `insert into baton.events (agent_uid, seq, tenant_id, channel, type, data, run_id)
      select agent_uid, seq + 1, tenant_id, 'monitor', 'custom', '{}', run_id from baton.events where type = 'done' and ${of('tools')}`,
  },
  'an end has no reason of the list': { sql: `update baton.runs set stop_reason = 'because' where ${of('tools')}` },
  'a webhook is missing, doubled or not delivered': { sql: `delete from baton.webhook_deliveries where ${of('hooked')}` },
  'a webhook has not one event id': { seen: () => ({ arrivals: new Map() }) },
  'take-overs and the end they lead to do not fit': { sql: `update baton.runs set crashes = 1 where ${of('tools')}` },
}
