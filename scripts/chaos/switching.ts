import { setTimeout as sleep } from 'node:timers/promises'
import type { Sql, SwitchSeen } from '#scripts/chaos/checks/evidence'
import { readEffects } from '#scripts/chaos/effects'
import type { Chance } from '#scripts/chaos/random'
import { sendTurn } from '#scripts/chaos/send'
import type { Turn } from '#scripts/chaos/turns'

/** Somebody who kills and holds agents at work, and looks whether they stop. */
export interface Switching {
  switches: SwitchSeen[]
  /** Runs that were accepted for it, by the key of their message. */
  accepted: Map<string, string>
  stop(): Promise<void>
  /** Looks how the killed runs have ended. */
  ends(): Promise<void>
}

/**
 * Without Redis an executor learns of a kill at its next commit or heartbeat (a third of the lease: 2 s in local mode), and one that stands still may
 * begin until it gives its lease up, after 4.8 s. The time begins with the answer to the kill.
 */
const graceMs = 5_000
/** How long it is watched that nothing begins. */
const watchedMs = 1_500

/** Many short steps: wherever the switch comes, there is a next one to stop. */
const restless: Turn = {
  shape: 'restless',
  template: 'scripted',
  message: JSON.stringify({
    script: [
      ...Array.from({ length: 20 }, () => ({
        tools: [{ name: 'wait', input: { ms: 150 } }],
        delayMs: 100,
        usage: { input: 10, output: 1 },
      })),
      { text: 'finished' },
    ],
  }),
  prefer: 'wait=0',
  fields: {},
  hooked: false,
  ends: { state: 'completed', stopReason: 'end_turn', output: 'finished' },
}

const text = (value: unknown): string | null => (typeof value === 'string' ? value : null)

export function startSwitching(options: {
  bases: readonly string[]
  chance: Chance
  dataDir: string
  sql: Sql
  log: (line: string) => void
}): Switching {
  const { bases, chance, dataDir, sql, log } = options
  const switches: SwitchSeen[] = []
  const accepted = new Map<string, string>()
  let going = true

  /** Asks one server after the other until one says yes. */
  async function until(method: string, path: string, body?: object): Promise<void> {
    for (let turn = 0; turn < 300; turn++) {
      const init = body === undefined ? { method } : { method, body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
      const base = bases[turn % bases.length] ?? ''
      const response = await fetch(base + path, { ...init, signal: AbortSignal.timeout(5_000) }).catch(() => null) // it is away
      await response?.arrayBuffer().catch(() => null)
      if (response?.ok === true || (method === 'DELETE' && response?.status === 404)) return
      await sleep(150)
    }
    throw new Error(`nobody answered ${method} ${path}`)
  }

  /** Whether the run was over when the switch came: then the switch has nothing to do with its end. */
  async function endedBefore(agent: string, runId: string): Promise<boolean> {
    for (let turn = 0; turn < 100; turn++) {
      const rows = await sql(
        `select coalesce(r.ended_at < s.created_at, false) as before from baton.runs r, baton.switches s where r.run_id = $1 and s.scope = $2`,
        [runId, `agent:${agent}`],
      ).catch(() => null) // the database is away
      if (rows !== null) return rows[0]?.['before'] === true
      await sleep(200)
    }
    throw new Error('the database did not come back')
  }

  /** A run whose executor died or froze ends with the next claim or sweep: how it ended is looked at when all is calm. */
  async function one(index: number): Promise<void> {
    const agent = `switched-${index}`
    const mode = chance.next() < 0.6 ? 'kill' : 'hold'
    const key = `switched-${index}`
    const runId = await sendTurn({ bases, chance, agent, key, turn: restless })
    accepted.set(key, runId)
    await sleep(chance.whole(0, 1_500))
    await until('POST', '/api/kill', { scope: `agent:${agent}`, mode, reason: 'chaos' })
    await sleep(graceMs)
    const { end } = await readEffects(dataDir)
    await sleep(watchedMs)
    const { effects } = await readEffects(dataDir, end)
    const killed = mode === 'kill' && !(await endedBefore(agent, runId))
    switches.push({
      agent,
      mode,
      effects: effects.filter((line) => line.agentId === agent),
      end: killed ? { runId, state: 'open', stopReason: null } : null,
    })
    await until('DELETE', `/api/kill/${encodeURIComponent(`agent:${agent}`)}`)
  }

  const working = (async () => {
    for (let index = 0; going; index++) {
      await one(index).catch((error: unknown) => log(`switch ${index}: ${error instanceof Error ? error.message : String(error)}`))
      await sleep(chance.whole(100, 800))
    }
  })()
  return {
    switches,
    accepted,
    async stop() {
      going = false
      await working
    },
    async ends() {
      for (const { end } of switches) {
        if (end === null) continue
        const [run] = await sql('select state, stop_reason from baton.runs where run_id = $1', [end.runId])
        end.state = text(run?.['state']) ?? 'gone'
        end.stopReason = text(run?.['stop_reason'])
      }
    },
  }
}
