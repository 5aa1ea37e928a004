import type { Client } from '#lib/api/reader.fixture'
import { followUrl, type Follower, type FollowOptions } from '#tests/live/follower'
import { script, type Answer, type World } from '#tests/world'

export const letters = (count: number): string[] => Array.from({ length: count }, (_, index) => `part${index} `)
/** A text that comes piece by piece. */
export const slow = (count: number, chunkDelayMs: number): Answer => ({
  text: letters(count).join(''),
  chunks: letters(count),
  chunkDelayMs,
})
export const runOf = async (follower: Follower): Promise<string> =>
  String((await follower.until(({ data }) => typeof data['runId'] === 'string')).data['runId'])

/** Readers of a world's streams. */
export interface Reading {
  follow(path: string, server?: number, options?: FollowOptions): Promise<Follower>
  /** Sends and reads the answer as a stream. */
  post(agent: string, answers: Answer[], server?: number, limits?: Record<string, number>): Promise<Follower>
  /** Reads a run to its end over as many connections as it takes, as an EventSource does; answers how many there were. */
  readToEnd(path: string, client: Client, first: Follower, servers: number[]): Promise<number>
}

/** `world` is asked when it is there. */
export function readingOf(world: () => World): Reading {
  const follow = (path: string, server = 0, options: FollowOptions = {}): Promise<Follower> =>
    followUrl(world().base(server) + path, options)
  function post(agent: string, answers: Answer[], server = 0, limits: Record<string, number> = {}): Promise<Follower> {
    const body = JSON.stringify({ message: script(...answers), template: 'scripted', limits })
    return follow(`/api/agents/${agent}/messages`, server, { method: 'POST', body, headers: { 'content-type': 'application/json' } })
  }

  async function readToEnd(path: string, client: Client, first: Follower, servers: number[]): Promise<number> {
    let reader = first
    for (let turn = 0; turn < 40; turn++) {
      const end = await reader.end
      if (end instanceof Error) throw end
      if (end === 'clean') return turn + 1
      client.reconnect()
      const lastEventId = reader.lastEventId
      for (let attempt = 0; ; attempt++) {
        const next = await follow(path, servers[(turn + attempt) % servers.length], {
          client,
          ...(lastEventId === '' ? {} : { lastEventId }),
        }).catch((error: unknown) => {
          // As long as a server may take to start.
          if (attempt >= 600) throw error
          return null
        })
        if (next !== null) {
          reader = next
          break
        }
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
    throw new Error('the run did not end within 40 connections')
  }
  return { follow, post, readToEnd }
}
