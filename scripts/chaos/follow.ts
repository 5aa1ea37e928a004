import { setTimeout as sleep } from 'node:timers/promises'
import { createParser } from 'eventsource-parser'
import type { Followed } from '#scripts/chaos/checks/evidence'
import type { Chance } from '#scripts/chaos/random'

/** Readers of agents' events that come back after each break, at any server, with the last number they saw. */
export interface Followers {
  followed: Followed[]
  /** Reads on until each has the number that `last` says, at most for `forMs`. */
  stop(last: (agent: string) => Promise<number>, forMs: number): Promise<void>
}

/** Follows agents from their first event on; an agent that does not exist yet is asked for again. */
export function startFollowers(options: { bases: readonly string[]; chance: Chance; agents: readonly string[] }): Followers {
  const { bases, chance, agents } = options
  const over = new AbortController()

  async function once(one: Followed): Promise<void> {
    const base = bases[chance.whole(0, bases.length - 1)] ?? ''
    // A frozen server answers nothing: a reader gives it up as its platform would.
    const silent = new AbortController()
    let patience = setTimeout(() => silent.abort(), 5_000)
    const alive = (): void => {
      clearTimeout(patience)
      patience = setTimeout(() => silent.abort(), 20_000)
    }
    try {
      const response = await fetch(`${base}/api/agents/${one.agent}/events`, {
        headers: { accept: 'text/event-stream', 'last-event-id': String(one.seqs.at(-1) ?? 0) },
        signal: AbortSignal.any([over.signal, silent.signal]),
      })
      if (response.status !== 200 || response.body === null) return
      const parser = createParser({
        onEvent: ({ id, data }) => {
          const shown = JSON.parse(data) as { seq?: number }
          if (id !== undefined && shown.seq !== undefined) one.seqs.push(shown.seq)
        },
      })
      const decoder = new TextDecoder()
      for await (const chunk of response.body) {
        alive()
        parser.feed(decoder.decode(chunk, { stream: true }))
      }
    } catch {
      // The stream broke, as it must when a server dies: the next turn goes on from the last number.
    } finally {
      clearTimeout(patience)
    }
  }

  const followed = agents.map((agent): Followed => ({ agent, seqs: [] }))
  const reading = Promise.all(
    followed.map(async (one) => {
      while (!over.signal.aborted) {
        await once(one)
        await sleep(200)
      }
    }),
  )
  return {
    followed,
    async stop(last, forMs) {
      const until = performance.now() + forMs
      for (const one of followed) {
        const wanted = await last(one.agent)
        while ((one.seqs.at(-1) ?? 0) < wanted && performance.now() < until) await sleep(100)
      }
      over.abort()
      await reading
    },
  }
}
