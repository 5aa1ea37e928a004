import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { Sql } from '#scripts/chaos/violations'

/** Those who decide approvals and answer outside calls. */
export interface People {
  stop(): Promise<void>
}

const approvals = z.looseObject({ data: z.array(z.looseObject({ id: z.string(), input: z.unknown() })) })
const calls = z.looseObject({ data: z.array(z.looseObject({ state: z.string(), callbackUrl: z.string().nullish() })) })

/** Denies what its key says, allows all else, and gives each outside call its result: again and again, at one server after the other. */
export function startPeople(options: { bases: readonly string[]; sql: Sql; everyMs?: number }): People {
  const { bases, sql, everyMs = 200 } = options
  let working = true

  async function ask<Answer>(shape: z.ZodType<Answer>, url: string, body?: object): Promise<Answer | null> {
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
    // A server that is away or a decision that was made already: the next round looks again.
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(10_000) }).catch(() => null)
    const answer: unknown = await response?.json().catch(() => null)
    return shape.safeParse(answer).data ?? null
  }

  async function decideAll(base: string): Promise<void> {
    const pending = await ask(approvals, `${base}/api/approvals?state=pending&limit=50`)
    for (const { id, input } of pending?.data ?? []) {
      const decision = JSON.stringify(input).includes('"deny-') ? 'deny' : 'allow'
      await ask(z.unknown(), `${base}/api/approvals/${id}`, { decision })
    }
  }

  async function answerAll(base: string): Promise<void> {
    const waiting = await sql(
      `select distinct a.id, c.run_id from baton.tool_calls c join baton.agents a using (agent_uid) where c.state = 'waiting_external' limit 20`,
    ).catch(() => []) // the database is away
    for (const { id, run_id: run } of waiting) {
      const found = await ask(calls, `${base}/api/agents/${String(id)}/tool-calls?state=waiting_external&runId=${String(run)}`)
      for (const { state, callbackUrl } of found?.data ?? []) {
        if (state !== 'waiting_external' || callbackUrl == null) continue
        const { pathname, search } = new URL(callbackUrl)
        await ask(z.unknown(), base + pathname + search, { output: 'from outside' })
      }
    }
  }

  const round = (async () => {
    for (let turn = 0; working; turn++) {
      const base = bases[turn % bases.length] ?? ''
      await decideAll(base)
      await answerAll(base)
      await sleep(everyMs)
    }
  })()
  return {
    async stop() {
      working = false
      await round
    },
  }
}
