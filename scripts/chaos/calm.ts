import { poll } from '#local/poll'
import type { Sql } from '#scripts/chaos/checks/evidence'

/** Time for what is still open when the last fault is over, in milliseconds. */
const calmMs = 180_000

/** Waits until nothing is open and nothing is unsent, and says after how many seconds; what is open after three minutes is found by the checks. */
export async function calm(sql: Sql): Promise<number> {
  const from = performance.now()
  await poll(
    async () => {
      const [row] =
        await sql(`select (select count(*) from baton.runs where baton.is_open(state)) + (select count(*) from baton.outbox where sent_at is null)
        + (select count(*) from baton.agents where lease_owner is not null) + (select count(*) from baton.webhook_deliveries where state = 'pending') as open`)
      return Number(row?.['open']) === 0
    },
    { everyMs: 250, forMs: calmMs },
  )
  return (performance.now() - from) / 1_000
}
