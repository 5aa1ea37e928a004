import type { Check, Evidence } from '#scripts/chaos/checks/evidence'
import type { Effect } from '#scripts/chaos/effects'

type Call = Record<string, unknown>

async function callsOf({ sql, agents }: Evidence): Promise<Call[]> {
  return sql(
    `select c.call_id, c.run_id, c.name, c.effect, c.state, c.attempts, c.output,
      (select count(*) from baton.approvals v where v.agent_uid = c.agent_uid and v.call_id = c.call_id
        and v.kind = 'unknown_outcome' and (v.state = 'allowed' or v.state = 'expired' and v.default_decision = 'allow')) as repeats
    from baton.tool_calls c join baton.agents a using (agent_uid)
    where a.id = any(coalesce($1, array[a.id]))`,
    [agents],
  )
}

/** A check over each recorded call and the lines that the effects log has of it. */
function overCalls(name: string, fault: (call: Call, lines: readonly Effect[]) => string | null): Check {
  return {
    invariant: 4,
    name,
    async find(evidence) {
      const lines = Map.groupBy(
        evidence.effects.filter((line) => line.kind === 'tool'),
        (line) => line.callId,
      )
      return (await callsOf(evidence)).flatMap((call) => {
        const said = fault(call, lines.get(String(call['call_id'])) ?? [])
        return said === null ? [] : [`${String(call['name'])} ${String(call['call_id'])} of ${String(call['run_id'])}: ${said}`]
      })
    },
  }
}

/**
 * In the effects log the epochs of one agent never fall: nobody begins an effect once somebody else holds the agent. What took the agent
 * from the one who went on says which invariant is broken: the take-over of a lease that ran out (2), or a hand-off (6).
 */
function order(invariant: 2 | 6, name: string, strategy: 'crash' | 'hand_off'): Check {
  return {
    invariant,
    name,
    async find({ sql, effects, agents }) {
      const known = new Set(
        (await sql(`select a.id from baton.agents a where a.id = any(coalesce($1, array[a.id]))`, [agents])).map((row) => row['id']),
      )
      const highest = new Map<string, Effect>()
      const late: [Effect, Effect][] = []
      for (const line of effects) {
        const before = highest.get(line.agentId)
        if (before === undefined || line.epoch >= before.epoch) highest.set(line.agentId, line)
        else if (known.has(line.agentId)) late.push([line, before])
      }
      const found: string[] = []
      for (const [line, before] of late) {
        const [taken] = await sql(
          `select e.data ->> 'strategy' as strategy from baton.events e join baton.agents a using (agent_uid)
          where a.id = $1 and e.type = 'resumed' and (e.data ->> 'epoch')::bigint > $2 order by e.seq limit 1`,
          [line.agentId, line.epoch],
        )
        // Without such an event the agent was taken for another run: nobody had crashed.
        if ((taken?.['strategy'] ?? 'hand_off') === strategy)
          found.push(
            `${line.agentId}: ${line.kind} ${line.name} of ${line.runId} in epoch ${line.epoch} after one in ${before.epoch} (pid ${line.pid}, ${before.pid})`,
          )
      }
      return found
    },
  }
}

/** What the effects log says against the records. */
export const effectChecks: readonly Check[] = [
  order(2, 'an effect began after its lease had been taken over', 'crash'),
  // But for what a person has asked for who was told that it may have happened.
  overCalls('a once effect was repeated', ({ effect, repeats }, lines) =>
    effect === 'once' && lines.length > 1 + Number(repeats) ? `${lines.length} times` : null,
  ),
  overCalls('an idempotency key changed', (_, lines) => {
    const keys = new Set(lines.map((line) => line.idempotencyKey))
    return keys.size > 1 ? [...keys].join() : null
  }),
  overCalls('a call was completed and never executed', ({ effect, state }, lines) =>
    effect !== 'external' && state === 'completed' && lines.length === 0 ? 'no line in the effects log' : null,
  ),
  overCalls('an effect was begun without intent', ({ attempts }, lines) =>
    lines.length > Number(attempts) ? `${lines.length} effects in ${String(attempts)} attempts` : null,
  ),
  // A call whose effect was begun and has no other outcome must say that nobody knows.
  overCalls('an unknown outcome is not told', ({ effect, state, output }, lines) =>
    effect === 'once' && state === 'sealed' && lines.length > 0 && !/unknown/.test(JSON.stringify(output)) ? JSON.stringify(output) : null,
  ),
  {
    invariant: 4,
    name: 'an effect has no record',
    async find(evidence) {
      const known = new Set((await callsOf(evidence)).map((call) => call['call_id']))
      const { sql, agents } = evidence
      const runs = new Set(
        (
          await sql(`select r.run_id from baton.runs r join baton.agents a using (agent_uid) where a.id = any(coalesce($1, array[a.id]))`, [
            agents,
          ])
        ).map((row) => row['run_id']),
      )
      return evidence.effects
        .filter((line) => line.kind === 'tool' && runs.has(line.runId) && !known.has(line.callId))
        .map((line) => JSON.stringify(line))
    },
  },
  order(6, 'an effect began after its slice had handed over', 'hand_off'),
]
