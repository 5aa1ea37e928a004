import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { Chance } from '#scripts/chaos/random'
import type { Turn } from '#scripts/chaos/turns'

const told = z.looseObject({ runId: z.string() })

/** A message refused for a reason that no repetition cures. */
export class Refused extends Error {
  readonly status: number
  constructor(status: number, body: unknown) {
    super(`a message was refused: ${status} ${JSON.stringify(body)}`)
    this.name = 'Refused'
    this.status = status
  }
}

/**
 * Sends as a good client does: the same key again, at any server, until somebody answers with a run; its id. Throws `Refused`, and
 * after two minutes without an answer.
 */
export async function sendTurn(options: {
  bases: readonly string[]
  chance: Chance
  agent: string
  key: string
  turn: Turn
  /** Where webhooks go. */
  hook?: string
}): Promise<string> {
  const { bases, chance, agent, key, turn, hook } = options
  const { template, message, fields, prefer, hooked } = turn
  const webhook = hooked && hook !== undefined ? { webhook: { url: hook } } : {}
  const body = JSON.stringify({ template, message, onBusy: 'enqueue', ...fields, ...webhook })
  const headers = { 'content-type': 'application/json', 'idempotency-key': key, prefer }
  const until = performance.now() + 120_000
  while (performance.now() < until) {
    const base = bases[chance.whole(0, bases.length - 1)] ?? ''
    const signal = AbortSignal.timeout(30_000)
    // A server that is away, or died while it answered.
    const response = await fetch(`${base}/api/agents/${agent}/messages`, { method: 'POST', headers, body, signal }).catch(() => null)
    const answer: unknown = await response?.json().catch(() => null)
    // An end that is no success (402, 423, 5xx) names its run, too.
    const run = told.safeParse(answer)
    if (run.success) return run.data.runId
    if (response !== null && response.status >= 400 && response.status < 500 && response.status !== 429)
      throw new Refused(response.status, answer)
    await sleep(200)
  }
  throw new Error(`nobody answered message ${key} of ${agent}`)
}
