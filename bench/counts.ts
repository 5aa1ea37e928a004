import { sizes } from '#bench/compare'
import { plainTurn, toolTurn } from '#bench/scripts'
import { startStand } from '#bench/stand'
import { median } from '#bench/stats'

/** What a turn sends to the database and makes it write: nearly the same on every machine. */
export interface Counted {
  turn: string
  messages: number
  trips: number
  sentKb: number
  receivedKb: number
  walKb: number
}

/** Not part of a turn: marks, heartbeats, sweeps, what is remembered of limits and sent of metrics (as in tests/trips). */
const beside = new Set(['outbox_sent', 'renew', 'sweep', 'health', 'add_metrics', 'tenant_limits', 'limits_of', 'ensure_tenant'])

/** Trips, bodies and log of Baton's turns over HTTP, each the median of `times` turns, one after the other. */
export async function countTurns(times: number): Promise<Counted[]> {
  const stand = await startStand({ counted: true })
  const trips = stand.proxy?.trips ?? []
  const rows: Counted[] = []
  try {
    for (const messages of sizes) {
      for (const [turn, script] of [
        ['without tools', plainTurn],
        ['one tool', toolTurn],
      ] as const) {
        const agent = `${turn.replaceAll(' ', '-')}-${messages}`
        await stand.withHistory(agent, messages)
        await stand.send(agent, script)
        const each: Omit<Counted, 'turn' | 'messages'>[] = []
        for (let time = 0; time < times; time++) {
          const from = trips.length
          const wal = await stand.wal.at()
          await stand.send(agent, script)
          const made = trips.slice(from).filter(({ name }) => !beside.has(name.replace(/^baton_/, '')))
          each.push({
            trips: made.length,
            sentKb: made.reduce((sum, trip) => sum + trip.sentBytes, 0) / 1024,
            receivedKb: made.reduce((sum, trip) => sum + trip.receivedBytes, 0) / 1024,
            walKb: ((await stand.wal.at()) - wal) / 1024,
          })
        }
        const of = (pick: keyof (typeof each)[number]): number => median(each.map((one) => one[pick]))
        rows.push({ turn, messages, trips: of('trips'), sentKb: of('sentKb'), receivedKb: of('receivedKb'), walKb: of('walKb') })
      }
    }
    return rows
  } finally {
    await stand.close()
  }
}
