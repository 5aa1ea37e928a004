import { setTimeout as sleep } from 'node:timers/promises'
import { poll } from '#local/poll'
import { post } from '#bench/caller'
import { rssMb } from '#bench/processes'
import type { Stand } from '#bench/stand'
import { summary, type Summary } from '#bench/stats'

const usage = { input: 100, output: 20 }
const waiting = (ms: number): object => ({ tools: [{ name: 'wait', input: { ms } }], usage })

/** From the row of the hand-off, written by the last commit of a slice, to the first model call of the next slice, in milliseconds. */
export async function handOffGap(stand: Stand, times: number): Promise<Summary> {
  const base = stand.stack.info.baseUrls[0] ?? ''
  const gaps: number[] = []
  for (let time = 0; time < times; time++) {
    const message = JSON.stringify({ script: [waiting(1_100), { text: 'done', usage }] })
    const { text } = await post(`${base}/api/agents/hand-${time}/messages`, { message, template: 'scripted' }, { prefer: 'wait=1' })
    const { runId } = JSON.parse(text) as { runId: string }
    const ended = await poll(
      async () => {
        const { rows } = await stand.wal.pool.query<{ over: boolean }>(
          'select ended_at is not null as over from baton.runs where run_id = $1',
          [runId],
        )
        return rows[0]?.over === true
      },
      { everyMs: 100, forMs: 60_000 },
    )
    if (!ended) throw new Error(`run ${runId} did not end`)
    const { rows } = await stand.wal.pool.query<{ at: Date }>(
      `select at from baton.events where run_id = $1 and type = 'handed_off' order by seq`,
      [runId],
    )
    const effects = (await (await fetch(`${base}/api/local/effects?runId=${runId}`)).json()) as { data: { at: string; kind: string }[] }
    const next = effects.data.filter(({ kind }) => kind === 'model')[1]
    const from = rows[0]?.at
    if (from === undefined || next === undefined) throw new Error(`run ${runId} was not handed over`)
    gaps.push(Date.parse(next.at) - from.getTime())
  }
  return summary(gaps)
}

/** Resident memory of the server with no slice and with `slices` at once, each waiting in a tool; and what one adds. */
export interface SliceMemory {
  slices: number
  idleMb: number
  busyMb: number
  kbPerSlice: number
}

/** Starts runs that wait in a tool and looks at the server meanwhile. Each agent has a window of 100 messages of 1 KB. */
export async function memoryPerSlice(stand: Stand, slices: number): Promise<SliceMemory> {
  const pid = stand.stack.info.pids.servers[0] ?? null
  for (let at = 0; at < slices; at += 20) {
    await Promise.all(Array.from({ length: 20 }, async (_, offset) => stand.withHistory(`slice-${at + offset}`, 0)))
  }
  await sleep(1_000)
  const idleMb = rssMb(pid)
  const message = JSON.stringify({ script: [waiting(20_000), { text: 'done', usage }] })
  const work = Promise.all(Array.from({ length: slices }, async (_, at) => stand.send(`slice-${at}`, message)))
  const all = await poll(
    async () => {
      const { rows } = await stand.wal.pool.query<{ many: string }>(
        `select count(*) as many from baton.tool_calls where name = 'wait' and state = 'executing'`,
      )
      return Number(rows[0]?.many ?? 0) >= slices
    },
    { everyMs: 100, forMs: 18_000 },
  )
  const busyMb = rssMb(pid)
  await work
  if (!all) throw new Error(`not all of ${slices} slices were at work at the same time`)
  return { slices, idleMb, busyMb, kbPerSlice: ((busyMb - idleMb) * 1024) / slices }
}
