import type { Check } from '#scripts/chaos/checks/evidence'
import { stopReason } from '#lib/core/run'

const reasons = stopReason.options.map((reason) => `'${reason}'`).join(', ')

/** [invariant, what is wrong, a query whose every row is one violation; `$1` is an array of agent names or null for all]. */
const queries: readonly (readonly [number, string, string])[] = [
  [
    1,
    'an accepted message is not in its conversation',
    `select r.run_id, r.opening_seq from baton.runs r join baton.agents a using (agent_uid) left join baton.messages m
      on m.agent_uid = r.agent_uid and m.seq = r.opening_seq and m.run_id = r.run_id and m.role = 'user'
    where a.id = any(coalesce($1, array[a.id])) and r.opening_seq is not null and r.cause <> 'retry' and m.seq is null`,
  ],
  [
    1,
    'an idempotency key has no run',
    `select i.key, i.run_id from baton.idempotency i join baton.agents a using (agent_uid) left join baton.runs r on r.run_id = i.run_id
    where a.id = any(coalesce($1, array[a.id])) and i.run_id is not null and r.run_id is null`,
  ],
  [
    2,
    'epochs do not rise',
    `select x.run_id, x.epoch, x.before from (select e.run_id, e.agent_uid, (e.data ->> 'epoch')::bigint as epoch,
      lag((e.data ->> 'epoch')::bigint) over (partition by e.agent_uid order by e.seq) as before from baton.events e where e.type = 'resumed') x
    join baton.agents a using (agent_uid) where a.id = any(coalesce($1, array[a.id])) and x.epoch <= x.before`,
  ],
  [
    3,
    'messages have a gap',
    `select a.id, a.last_message_seq, count(m.seq)::int as messages from baton.agents a left join baton.messages m using (agent_uid)
    where a.id = any(coalesce($1, array[a.id])) group by a.agent_uid having count(m.seq) <> a.last_message_seq or max(m.seq) <> a.last_message_seq`,
  ],
  [
    3,
    'answers and model calls differ',
    `select r.run_id, r.model_calls, s.usages from baton.runs r join baton.agents a using (agent_uid),
    lateral (select count(*)::int as usages from baton.events e where e.agent_uid = r.agent_uid and e.run_id = r.run_id and e.type = 'usage') s
    where a.id = any(coalesce($1, array[a.id])) and r.model_calls <> s.usages`,
  ],
  [
    3,
    'the window is miscounted',
    `select a.id, a.window_tokens, coalesce(sum(m.est_tokens), 0) as tokens from baton.agents a
    left join baton.messages m on m.agent_uid = a.agent_uid and m.seq >= a.window_from where a.id = any(coalesce($1, array[a.id]))
    group by a.agent_uid having a.window_tokens <> coalesce(sum(m.est_tokens), 0)`,
  ],
  [
    3,
    'Baton finds a row that does not fit',
    `select a.id, f.value as finding from baton.agents a cross join lateral jsonb_array_elements(baton.findings(a)) f
    where a.id = any(coalesce($1, array[a.id]))`,
  ],
  [
    4,
    'a call has not one start and one end event',
    `select c.run_id, c.call_id, c.name, s.starts, s.ends from baton.tool_calls c join baton.agents a using (agent_uid),
    lateral (select count(*) filter (where e.type = 'tool_start')::int as starts, count(*) filter (where e.type = 'tool_end')::int as ends from baton.events e
      where e.agent_uid = c.agent_uid and e.type in ('tool_start', 'tool_end') and coalesce(e.data ->> 'callId', e.data -> 'call' ->> 'callId') = c.call_id) s
    where a.id = any(coalesce($1, array[a.id])) and (s.ends <> 1 or s.starts > 1 or (s.starts = 0 and c.attempts > 0))`,
  ],
  [
    5,
    'a call has no end or is not in the history',
    `select c.run_id, c.call_id, c.name, c.state, c.entered from baton.tool_calls c join baton.agents a using (agent_uid)
    where a.id = any(coalesce($1, array[a.id])) and (not baton.is_final_call(c.state) or not c.entered or c.output is null)`,
  ],
  [
    7,
    'a run has not ended',
    `select r.run_id, r.state, r.wait_kind, r.due_at, r.crashes from baton.runs r join baton.agents a using (agent_uid)
    where a.id = any(coalesce($1, array[a.id])) and baton.is_open(r.state)`,
  ],
  [
    7,
    'an agent is not at rest',
    `select a.id, a.state, a.lease_owner, a.active_run, a.queued from baton.agents a
    where a.id = any(coalesce($1, array[a.id])) and (a.lease_owner is not null or a.active_run is not null or a.queued <> 0 or a.state <> 'ready'
      or exists (select from baton.inbox i where i.agent_uid = a.agent_uid))`,
  ],
  [
    7,
    'an outbox row was never sent',
    `select o.id, o.kind, o.due_at from baton.outbox o join baton.agents a using (agent_uid)
    where a.id = any(coalesce($1, array[a.id])) and o.sent_at is null`,
  ],
  [
    8,
    'events have a gap',
    `select a.id, a.last_event_seq, count(e.seq)::int as events, max(e.seq) as last from baton.agents a left join baton.events e using (agent_uid)
    where a.id = any(coalesce($1, array[a.id])) group by a.agent_uid
    having count(e.seq) <> a.last_event_seq - a.first_event_seq + 1 or max(e.seq) <> a.last_event_seq`,
  ],
  [
    9,
    'money is still reserved',
    `select r.run_id, r.reserved_micros, v.id, v.state from baton.runs r join baton.agents a using (agent_uid)
    left join baton.reservations v on v.run_id = r.run_id and v.state = 'reserved'
    where a.id = any(coalesce($1, array[a.id])) and (r.reserved_micros <> 0 or v.id is not null)`,
  ],
  [
    9,
    'the cost is not the sum of what was booked',
    `select r.run_id, r.cost_micros, coalesce(sum(v.cost_micros), 0) as booked from baton.runs r join baton.agents a using (agent_uid)
    left join baton.reservations v on v.run_id = r.run_id where a.id = any(coalesce($1, array[a.id])) group by r.run_id
    having r.cost_micros <> coalesce(sum(v.cost_micros), 0)`,
  ],
  [
    9,
    'a run spent more than its limit',
    `select r.run_id, r.cost_micros, r.limits -> 'maxCostMicros' as most from baton.runs r join baton.agents a using (agent_uid)
    where a.id = any(coalesce($1, array[a.id])) and r.cost_micros > (r.limits ->> 'maxCostMicros')::bigint`,
  ],
  [
    11,
    'a run has not exactly one terminal event that names its end',
    `select r.run_id, r.state, count(e.seq)::int as done from baton.runs r join baton.agents a using (agent_uid)
    left join baton.events e on e.agent_uid = r.agent_uid and e.run_id = r.run_id and e.type = 'done'
    where a.id = any(coalesce($1, array[a.id])) group by r.run_id having count(e.seq) <> 1 or min(e.data ->> 'state') <> r.state`,
  ],
  [
    11,
    'an event follows the end of its run',
    `select e.run_id, e.type, e.seq from baton.events e join baton.agents a using (agent_uid)
    join baton.events d on d.agent_uid = e.agent_uid and d.run_id = e.run_id and d.type = 'done'
    where a.id = any(coalesce($1, array[a.id])) and e.seq > d.seq`,
  ],
  [
    11,
    'an end has no reason of the list',
    `select r.run_id, r.state, r.stop_reason from baton.runs r join baton.agents a using (agent_uid)
    where a.id = any(coalesce($1, array[a.id])) and not baton.is_open(r.state) and coalesce(r.stop_reason, '') not in (${reasons})`,
  ],
  [
    11,
    'a webhook is missing, doubled or not delivered',
    `select r.run_id, count(d.id)::int as deliveries, min(d.state) as state from baton.runs r join baton.agents a using (agent_uid)
    left join baton.webhook_deliveries d on d.run_id = r.run_id where a.id = any(coalesce($1, array[a.id])) and r.webhook is not null
    group by r.run_id having count(d.id) <> 1 or min(d.state) <> 'delivered'`,
  ],
  [
    12,
    'take-overs and the end they lead to do not fit',
    // maxStepCrashes is 3; a commit sets the count to 0, so a run that went on and completed has none.
    `select r.run_id, r.state, r.stop_reason, r.crashes from baton.runs r join baton.agents a using (agent_uid)
    where a.id = any(coalesce($1, array[a.id])) and ((r.crashes > 3) <> (r.stop_reason is not distinct from 'step_crashed') or r.state = 'completed' and r.crashes <> 0)`,
  ],
]

/** What must not stand in the tables when all work has ended. */
export const rowChecks: readonly Check[] = queries.map(([invariant, name, query]) => ({
  invariant,
  name,
  find: async ({ sql, agents }) => (await sql(query, [agents])).map((row) => JSON.stringify(row)),
}))
