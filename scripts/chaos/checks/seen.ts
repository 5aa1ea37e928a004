import type { Check } from '#scripts/chaos/checks/evidence'

/** What was seen from outside while all ran, against what the database holds in the end. */
export const seenChecks: readonly Check[] = [
  {
    invariant: 1,
    name: 'an accepted message is lost, or a repeat has started a run',
    async find({ sql, accepted, agents }) {
      if (accepted === undefined) return []
      const rows = await sql(
        `select r.run_id from baton.runs r join baton.agents a using (agent_uid) where a.id = any(coalesce($1, array[a.id]))`,
        [agents],
      )
      const runs = new Set(rows.map((row) => row['run_id']))
      const lost = [...accepted]
        .filter(([, run]) => !runs.has(run))
        .map(([key, run]) => `message ${key} was accepted as ${run}, which does not exist`)
      return runs.size === accepted.size ? lost : [...lost, `${accepted.size} messages were accepted and ${runs.size} runs exist`]
    },
  },
  {
    invariant: 8,
    name: 'a reader missed, doubled or reordered events',
    async find({ sql, followed = [] }) {
      const found: string[] = []
      for (const { agent, seqs } of followed) {
        const [row] = await sql(`select last_event_seq::int as last from baton.agents where id = $1`, [agent])
        const wrong = seqs.findIndex((seq, index) => seq !== index + 1)
        if (wrong >= 0) found.push(`${agent}: number ${seqs[wrong]} came where ${wrong + 1} was due`)
        else if (seqs.length !== Number(row?.['last'] ?? 0))
          found.push(`${agent}: the reader has ${seqs.length} of ${String(row?.['last'])} events`)
      }
      return found
    },
  },
  {
    invariant: 9,
    name: 'a limit was passed, or a counter is not the sum of its ledger',
    find: ({ passedLimits = [] }) => passedLimits.map((row) => JSON.stringify(row)),
  },
  {
    invariant: 10,
    name: 'an effect began under a kill or hold',
    find: ({ switches = [] }) =>
      switches.flatMap(({ agent, mode, effects }) =>
        effects.map((line) => `${mode} of ${agent}: ${line.kind} ${line.name} of ${line.runId}`),
      ),
  },
  {
    invariant: 10,
    name: 'a killed run did not end killed',
    find: ({ switches = [] }) =>
      switches.flatMap(({ agent, end }) => (end === null || end.state === 'killed' ? [] : [`${agent}: ${JSON.stringify(end)}`])),
  },
  {
    invariant: 11,
    name: 'a webhook has not one event id',
    async find({ sql, arrivals, agents }) {
      if (arrivals === undefined) return []
      const rows = await sql(
        `select r.run_id from baton.runs r join baton.agents a using (agent_uid) where a.id = any(coalesce($1, array[a.id])) and r.webhook is not null`,
        [agents],
      )
      return rows.flatMap(({ run_id: run }) => {
        const ids = arrivals.get(String(run)) ?? []
        return ids.length === 1 ? [] : [`${String(run)}: ${JSON.stringify(ids)}`]
      })
    },
  },
]
