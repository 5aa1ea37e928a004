/** Asks the database of a stack; rows come back as objects. */
export type Sql = (text: string, values?: unknown[]) => Promise<Record<string, unknown>[]>

/** The part of a line of the effects log that the checks look at. */
export interface EffectSeen {
  kind: 'tool' | 'model'
  runId: string
  callId?: string
  name?: string
  key?: string
  idempotencyKey?: string
}

/**
 * Each query finds what must not be when all work has ended (2-run-contract, Invariants); `$1` is an array of agent ids or null for all.
 * Every row found is one violation, and its fields say where.
 */
const queries: Readonly<Record<string, string>> = {
  'a run has not ended': `select r.run_id, r.state, r.wait_kind, r.due_at, r.crashes from baton.runs r join baton.agents a using (agent_uid)
    where a.id = any(coalesce($1, array[a.id])) and baton.is_open(r.state)`,
  'an agent is not at rest': `select a.id, a.state, a.lease_owner, a.active_run, a.queued from baton.agents a
    where a.id = any(coalesce($1, array[a.id])) and (a.lease_owner is not null or a.active_run is not null or a.queued <> 0 or a.state <> 'ready'
      or exists (select from baton.inbox i where i.agent_uid = a.agent_uid))`,
  'a run has not exactly one terminal event that names its end': `select r.run_id, r.state, count(e.seq)::int as done from baton.runs r join baton.agents a using (agent_uid)
    left join baton.events e on e.agent_uid = r.agent_uid and e.run_id = r.run_id and e.type = 'done'
    where a.id = any(coalesce($1, array[a.id])) group by r.run_id having count(e.seq) <> 1 or min(e.data ->> 'state') <> r.state`,
  'events have a gap': `select a.id, a.last_event_seq, count(e.seq)::int as events, max(e.seq) as last from baton.agents a left join baton.events e using (agent_uid)
    where a.id = any(coalesce($1, array[a.id])) group by a.agent_uid
    having count(e.seq) <> a.last_event_seq - a.first_event_seq + 1 or max(e.seq) <> a.last_event_seq`,
  'messages have a gap': `select a.id, a.last_message_seq, count(m.seq)::int as messages from baton.agents a left join baton.messages m using (agent_uid)
    where a.id = any(coalesce($1, array[a.id])) group by a.agent_uid having count(m.seq) <> a.last_message_seq or max(m.seq) <> a.last_message_seq`,
  'an event follows the end of its run': `select e.run_id, e.type, e.seq from baton.events e join baton.agents a using (agent_uid)
    join baton.events d on d.agent_uid = e.agent_uid and d.run_id = e.run_id and d.type = 'done'
    where a.id = any(coalesce($1, array[a.id])) and e.seq > d.seq`,
  'a call has no end or is not in the history': `select c.run_id, c.call_id, c.name, c.state, c.entered from baton.tool_calls c join baton.agents a using (agent_uid)
    where a.id = any(coalesce($1, array[a.id])) and (not baton.is_final_call(c.state) or not c.entered or c.output is null)`,
  'a call has not one start and one end event': `select c.run_id, c.call_id, c.name, s.starts, s.ends from baton.tool_calls c join baton.agents a using (agent_uid),
    lateral (select count(*) filter (where e.type = 'tool_start')::int as starts, count(*) filter (where e.type = 'tool_end')::int as ends from baton.events e
      where e.agent_uid = c.agent_uid and e.type in ('tool_start', 'tool_end') and coalesce(e.data ->> 'callId', e.data -> 'call' ->> 'callId') = c.call_id) s
    where a.id = any(coalesce($1, array[a.id])) and (s.ends <> 1 or s.starts > 1 or (s.starts = 0 and c.attempts > 0))`,
  'money is still reserved': `select r.run_id, r.reserved_micros, v.id, v.state from baton.runs r join baton.agents a using (agent_uid)
    left join baton.reservations v on v.run_id = r.run_id and v.state = 'reserved'
    where a.id = any(coalesce($1, array[a.id])) and (r.reserved_micros <> 0 or v.id is not null)`,
  'the cost is not the sum of what was booked': `select r.run_id, r.cost_micros, coalesce(sum(v.cost_micros), 0) as booked from baton.runs r join baton.agents a using (agent_uid)
    left join baton.reservations v on v.run_id = r.run_id where a.id = any(coalesce($1, array[a.id])) group by r.run_id
    having r.cost_micros <> coalesce(sum(v.cost_micros), 0)`,
  'a run spent more than its limit': `select r.run_id, r.cost_micros, r.limits -> 'maxCostMicros' as most from baton.runs r join baton.agents a using (agent_uid)
    where a.id = any(coalesce($1, array[a.id])) and r.cost_micros > (r.limits ->> 'maxCostMicros')::bigint`,
  'answers and model calls differ': `select r.run_id, r.model_calls, s.usages from baton.runs r join baton.agents a using (agent_uid),
    lateral (select count(*)::int as usages from baton.events e where e.agent_uid = r.agent_uid and e.run_id = r.run_id and e.type = 'usage') s
    where a.id = any(coalesce($1, array[a.id])) and r.model_calls <> s.usages`,
  'epochs do not rise': `select x.run_id, x.epoch, x.before from (select e.run_id, e.agent_uid, (e.data ->> 'epoch')::bigint as epoch,
      lag((e.data ->> 'epoch')::bigint) over (partition by e.agent_uid order by e.seq) as before from baton.events e where e.type = 'resumed') x
    join baton.agents a using (agent_uid) where a.id = any(coalesce($1, array[a.id])) and x.epoch <= x.before`,
  'the window is miscounted': `select a.id, a.window_tokens, coalesce(sum(m.est_tokens), 0) as tokens from baton.agents a
    left join baton.messages m on m.agent_uid = a.agent_uid and m.seq >= a.window_from where a.id = any(coalesce($1, array[a.id]))
    group by a.agent_uid having a.window_tokens <> coalesce(sum(m.est_tokens), 0)`,
  'an outbox row was never sent': `select o.id, o.kind, o.due_at from baton.outbox o join baton.agents a using (agent_uid)
    where a.id = any(coalesce($1, array[a.id])) and o.sent_at is null`,
  'a webhook is missing, doubled or not delivered': `select r.run_id, count(d.id)::int as deliveries, min(d.state) as state from baton.runs r join baton.agents a using (agent_uid)
    left join baton.webhook_deliveries d on d.run_id = r.run_id where a.id = any(coalesce($1, array[a.id])) and r.webhook is not null
    group by r.run_id having count(d.id) <> 1 or min(d.state) <> 'delivered'`,
}

interface Part {
  type: string
  toolCallId?: string
}

/** What is wrong with a conversation: each tool call of an answer has exactly one result, in order, in the very next message. */
function conversationFaults(messages: readonly { role: string; content: unknown }[]): string[] {
  const faults: string[] = []
  let open: string[] = []
  for (const [index, { role, content }] of messages.entries()) {
    const parts = Array.isArray(content) ? (content as Part[]) : []
    if (role === 'tool') {
      const results = parts.map((part) => part.toolCallId ?? '')
      if (results.join() !== open.join())
        faults.push(`message ${index + 1}: results of [${results.join()}] where calls are [${open.join()}]`)
      open = []
      continue
    }
    if (open.length > 0) faults.push(`message ${index + 1}: calls [${open.join()}] have no results`)
    open = parts.filter((part) => part.type === 'tool-call').map((part) => part.toolCallId ?? '')
  }
  if (open.length > 0) faults.push(`the last calls [${open.join()}] have no results`)
  return faults
}

/** What the effects log says against the records: a `once` effect twice, a changed idempotency key, an outcome nobody tried for. */
function effectFaults(calls: readonly Record<string, unknown>[], effects: readonly EffectSeen[]): string[] {
  const faults: string[] = []
  for (const { call_id: id, name, effect, state, attempts, output, run_id: run } of calls) {
    const lines = effects.filter((line) => line.kind === 'tool' && line.callId === id)
    const where = `${String(name)} ${String(id)} of ${String(run)}`
    if (effect === 'once' && lines.length > 1) faults.push(`${where}: a once effect ${lines.length} times`)
    if (new Set(lines.map((line) => line.idempotencyKey)).size > 1) faults.push(`${where}: its idempotency key changed`)
    if (state === 'completed' && lines.length === 0 && effect !== 'external') faults.push(`${where}: completed and never executed`)
    if (lines.length > Number(attempts)) faults.push(`${where}: ${lines.length} effects in ${String(attempts)} attempts`)
    // A call whose effect was begun and has no other outcome must say that nobody knows.
    if (effect === 'once' && state === 'sealed' && lines.length > 0 && !/unknown/.test(JSON.stringify(output)))
      faults.push(`${where}: sealed without a word of doubt`)
  }
  const known = new Set(calls.map((call) => call['call_id']))
  for (const line of effects)
    if (line.kind === 'tool' && !known.has(line.callId)) faults.push(`an effect without a record: ${JSON.stringify(line)}`)
  return faults
}

/**
 * All violations of the run contract in a database whose work has ended, over the agents named or over all.
 * An empty list is what every crash must leave behind.
 */
export async function violations(sql: Sql, effects: readonly EffectSeen[], agents: readonly string[] | null = null): Promise<string[]> {
  const found: string[] = []
  for (const [what, query] of Object.entries(queries)) {
    for (const row of await sql(query, [agents])) found.push(`${what}: ${JSON.stringify(row)}`)
  }
  const rows = await sql(
    `select a.id, m.role, m.content from baton.messages m join baton.agents a using (agent_uid)
    where a.id = any(coalesce($1, array[a.id])) order by a.id, m.seq`,
    [agents],
  )
  const conversations = Map.groupBy(rows as unknown as { id: string; role: string; content: unknown }[], (row) => row.id)
  for (const [id, messages] of conversations) found.push(...conversationFaults(messages).map((fault) => `${id}: ${fault}`))
  const calls = await sql(
    `select c.* from baton.tool_calls c join baton.agents a using (agent_uid) where a.id = any(coalesce($1, array[a.id]))`,
    [agents],
  )
  const runs = new Set(
    (
      await sql(`select r.run_id from baton.runs r join baton.agents a using (agent_uid) where a.id = any(coalesce($1, array[a.id]))`, [
        agents,
      ])
    ).map((row) => row['run_id']),
  )
  found.push(
    ...effectFaults(
      calls,
      effects.filter((line) => runs.has(line.runId)),
    ),
  )
  return found
}
