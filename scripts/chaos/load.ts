import { setTimeout as sleep } from 'node:timers/promises'
import { chanceFrom, type Chance } from '#scripts/chaos/random'
import { Refused, sendTurn } from '#scripts/chaos/send'
import { agentFor, turnFrom, type Turn } from '#scripts/chaos/turns'

/** A message that was answered. */
export interface Sent {
  agent: string
  key: string
  runId: string
  turn: Turn
  /** Its agent's own budget may end it before its script does. */
  poor?: boolean
}

/** Callers that send messages as good clients do: with a key, and again until somebody answers. */
export interface Load {
  sent: Sent[]
  /** Messages that were refused because a budget was used up. */
  refused: number
  /** Sends no new message; resolves when each message that was begun has its answer. */
  stop(): Promise<void>
}

/** Agents of the load with a small budget of their own. */
export const purses = ['purse-1', 'purse-2', 'purse-3'] as const

/** Starts `callers` callers over `agents` agents; `bases` are the servers. The n-th message follows from the seed. */
export function startLoad(options: { bases: readonly string[]; callers: number; agents: number; seed: number; hook: string }): Load {
  const { bases, callers, agents, seed, hook } = options
  let stopping = false
  let count = 0
  let all: Promise<unknown> = Promise.resolve()
  const load: Load = {
    sent: [],
    refused: 0,
    async stop() {
      stopping = true
      await all
    },
  }

  async function one(index: number): Promise<Chance> {
    const chance = chanceFrom(seed * 100_003 + index)
    const key = `m${index}`
    const turn = turnFrom(chance, key)
    const name = chance.next() < 0.1 ? chance.pick(purses) : `chaos-${chance.whole(1, agents)}`
    const agent = agentFor(name, turn)
    try {
      load.sent.push({ agent, key, turn, poor: name.startsWith('purse'), runId: await sendTurn({ bases, chance, agent, key, turn, hook }) })
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 402) throw error
      load.refused += 1
    }
    return chance
  }

  const working = Array.from({ length: callers }, async () => {
    while (!stopping) {
      const chance = await one(count++)
      await sleep(chance.whole(0, 800))
    }
  })
  all = Promise.all(working)
  all.catch(() => undefined) // told by stop
  return load
}
