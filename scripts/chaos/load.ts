import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { Chance } from '#scripts/chaos/random'

/** Callers that send messages as good clients do: with a key, and again until somebody answers. */
export interface Load {
  /** Run ids that were answered with 2xx, by the key of their message. */
  accepted: Map<string, string>
  /** Sends no new message; resolves when each message that was begun has its answer. */
  stop(): Promise<void>
}

const accepted = z.looseObject({ runId: z.string() })
const usage = { input: 1_000, output: 100 }

/** A conversation turn of one to three answers, with tools of each effect, delays, a provider that fails now and then. */
function turn(chance: Chance, key: string): string {
  const answers = Array.from({ length: chance.whole(0, 2) }, (_, step) => {
    const tools = [
      { name: 'echo', input: { value: step } },
      { name: 'count', input: { key: `${key}-count-${step}` } },
      { name: 'charge', input: { key: `${key}-charge-${step}`, cents: 5 } },
      { name: 'wait', input: { ms: chance.whole(10, 800) } },
    ].filter(() => chance.next() < 0.6)
    const error = chance.next() < 0.1 ? { error: { status: 503, times: 1 } } : {}
    return { text: `step ${step}`, tools, usage, delayMs: chance.whole(0, 400), ...error }
  }).filter((answer) => answer.tools.length > 0)
  return JSON.stringify({ script: [...answers, { text: 'finished', usage, delayMs: chance.whole(0, 300) }] })
}

/** Starts `callers` callers over `agents` agents; `bases` are the servers. */
export function startLoad(options: { bases: readonly string[]; callers: number; agents: number; chance: Chance }): Load {
  const { bases, callers, agents, chance } = options
  const runs = new Map<string, string>()
  let stopping = false
  let count = 0

  async function send(): Promise<void> {
    const key = `m${++count}`
    const agent = `chaos-${chance.whole(1, agents)}`
    const limits = chance.next() < 0.5 ? { limits: { sliceMs: chance.whole(100, 1_000) } } : {}
    const body = JSON.stringify({ template: 'scripted', message: turn(chance, key), onBusy: 'enqueue', ...limits })
    const prefer = chance.next() < 0.4 ? 'respond-async' : `wait=${chance.whole(0, 3)}`
    const headers = { 'content-type': 'application/json', 'idempotency-key': key, prefer }
    // Bounded: a message that nobody takes in two minutes is a finding of its own.
    for (let attempt = 0; attempt < 600; attempt++) {
      const base = bases[chance.whole(0, bases.length - 1)] ?? ''
      const response = await fetch(`${base}/api/agents/${agent}/messages`, {
        method: 'POST',
        headers,
        body,
        signal: AbortSignal.timeout(30_000),
      }).catch(() => null)
      if (response !== null && response.ok) {
        const answer = await response.json().catch(() => null) // the server died while it answered
        if (answer !== null) return void runs.set(key, accepted.parse(answer).runId)
      } else if (response !== null && response.status < 500 && response.status !== 429) {
        throw new Error(`a message was refused: ${response.status} ${await response.text()}`)
      }
      await sleep(200)
    }
    throw new Error(`nobody answered message ${key}`)
  }

  const working = Array.from({ length: callers }, async () => {
    while (!stopping) {
      await send()
      await sleep(chance.whole(0, 300))
    }
  })
  const all = Promise.all(working)
  all.catch(() => undefined) // told by stop
  return {
    accepted: runs,
    async stop() {
      stopping = true
      await all
    },
  }
}
