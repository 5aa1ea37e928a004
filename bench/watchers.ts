import { get, type ClientRequest } from 'node:http'
import { poll } from '#local/poll'
import { rssMb } from '#bench/processes'
import type { Stand } from '#bench/stand'
import { summary, type Summary } from '#bench/stats'

/** How long the last of many watchers waits for an event, from the moment its row was written, and what the watchers cost the server. */
export interface FanOut {
  watchers: number
  events: number
  lastMs: Summary
  idleMb: number
  watchedMb: number
}

interface Watcher {
  request: ClientRequest
  seen: Map<number, number>
}

function watch(url: string): Watcher {
  const seen = new Map<number, number>()
  const request = get(url, { headers: { accept: 'text/event-stream' }, agent: false }, (response) => {
    let rest = ''
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => {
      const now = Date.now()
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) if (line.startsWith('id: ')) seen.set(Number(line.slice(4)), now)
    })
    response.on('error', () => undefined) // it is cut at the end
  })
  request.on('error', () => undefined) // the same
  return { request, seen }
}

/** Opens watchers of one agent, runs twelve tool calls and looks when each watcher has seen each event. */
export async function fanOut(stand: Stand, watchers: number): Promise<FanOut> {
  const base = stand.stack.info.baseUrls[0] ?? ''
  const pid = stand.stack.info.pids.servers[0] ?? null
  const usage = { input: 100, output: 20 }
  await stand.withHistory('watched', 0)
  const idleMb = rssMb(pid)
  const all: Watcher[] = []
  try {
    for (let at = 0; at < watchers; at++) {
      all.push(watch(`${base}/api/agents/watched/events?after=0`))
      if (at % 50 === 49) await poll(async () => Promise.resolve(all.every(({ seen }) => seen.size > 0)), { everyMs: 20, forMs: 20_000 })
    }
    const { rows: before } = await stand.wal.pool.query<{ seq: string }>(
      `select max(seq) as seq from baton.events e join baton.agents a using (agent_uid) where a.id = 'watched'`,
    )
    const from = Number(before[0]?.seq ?? 0)
    const joined = await poll(async () => Promise.resolve(all.every(({ seen }) => seen.has(from))), { everyMs: 50, forMs: 30_000 })
    if (!joined) throw new Error(`only ${all.filter(({ seen }) => seen.has(from)).length} of ${watchers} watchers are connected`)
    const watchedMb = rssMb(pid)
    const step = { tools: [{ name: 'wait', input: { ms: 400 } }], usage }
    await stand.send('watched', JSON.stringify({ script: [...Array.from({ length: 12 }, () => step), { text: 'done', usage }] }))
    const { rows } = await stand.wal.pool.query<{ seq: string; at: Date }>(
      `select e.seq, e.at from baton.events e join baton.agents a using (agent_uid) where a.id = 'watched' and e.seq > $1 and e.channel = 'progress' order by seq`,
      [from],
    )
    const last = Number(rows.at(-1)?.seq ?? 0)
    const arrived = await poll(async () => Promise.resolve(all.every(({ seen }) => seen.has(last))), { everyMs: 50, forMs: 30_000 })
    if (!arrived) throw new Error('not every watcher has seen the last event')
    const waits = rows.map(({ seq, at }) => Math.max(...all.map(({ seen }) => seen.get(Number(seq)) ?? Number.NaN)) - at.getTime())
    return { watchers, events: rows.length, lastMs: summary(waits), idleMb, watchedMb }
  } finally {
    for (const { request } of all) request.destroy()
  }
}
