import { localTemplates } from '#local/scripted/extra'
import type { Chance } from '#scripts/chaos/random'

/** A message of the load and how its run must end, whatever happens around it. */
export interface Turn {
  shape: string
  template: string
  message: string
  prefer: string
  /** Further fields of the body. */
  fields: Record<string, unknown>
  hooked: boolean
  ends: { state: string; stopReason: string | null; output: string | null }
}

/** Template that asks a person before `charge`, and one whose model has a gate of its own for 429. */
export const chaosTemplates = localTemplates({
  templates: [
    { id: 'asks', model: 'local/scripted', permission: { ask: ['charge'] } },
    { id: 'limited', model: 'local/limited' },
  ],
})

const usage = { input: 1_000, output: 100 }
const finished = { text: 'finished', usage }
const done = { state: 'completed', stopReason: 'end_turn', output: 'finished' }

interface Part {
  template?: string
  script: object[]
  fields?: Record<string, unknown>
  prefer?: string
  hooked?: boolean
  ends?: Turn['ends']
}

/** The pieces of one turn: `key` makes its effects unique. */
type Shape = (chance: Chance, key: string) => Part

const effects = (chance: Chance, key: string, step: number): object[] => {
  const all = [
    { name: 'echo', input: { value: step } },
    { name: 'count', input: { key: `${key}-count-${step}` } },
    { name: 'charge', input: { key: `${key}-charge-${step}`, cents: 5 } },
    { name: 'wait', input: { ms: chance.whole(10, 300) } },
    { name: 'fail', input: { message: 'as the script says' } },
  ]
  const chosen = all.filter(() => chance.next() < 0.5)
  return chosen.length > 0 ? chosen : all.slice(0, 1)
}

const working = (chance: Chance, key: string, steps: number): object[] => [
  ...Array.from({ length: steps }, (_, step) => ({
    text: `step ${step}`,
    tools: effects(chance, key, step),
    usage,
    delayMs: chance.whole(0, 100),
  })),
  finished,
]

const plain: Shape = (chance) => ({ script: [{ ...finished, chunks: chance.whole(1, 6), chunkDelayMs: chance.whole(0, 30) }] })

const shapes: Readonly<Record<string, readonly [weight: number, Shape]>> = {
  plain: [24, plain],
  tools: [22, (chance, key) => ({ script: working(chance, key, chance.whole(1, 2)) })],
  handOff: [
    12,
    (chance, key) => ({
      script: working(chance, key, chance.whole(2, 3)),
      fields: { limits: { sliceMs: chance.whole(100, 400) } },
    }),
  ],
  background: [10, (chance, key) => ({ script: working(chance, key, 1), prefer: 'respond-async' })],
  unavailable: [8, (chance) => ({ script: [{ ...finished, error: { status: 503, times: chance.whole(1, 2) } }] })],
  cut: [4, () => ({ script: [{ ...finished, chunks: 4, cutAfterChunks: 2 }] })],
  limited: [2, () => ({ template: 'limited', script: [{ ...finished, error: { status: 429, times: 1, retryAfter: 0.5 } }] })],
  webhook: [8, (chance, key) => ({ script: working(chance, key, 1), hooked: true })],
  approval: [
    4,
    (chance, key) => ({
      template: 'asks',
      script: [
        { tools: [{ name: 'charge', input: { key: `${chance.next() < 0.3 ? 'deny' : 'allow'}-${key}`, cents: 5 } }], usage },
        finished,
      ],
    }),
  ],
  outside: [3, () => ({ script: [{ tools: [{ name: 'outside', input: {} }], usage }, finished] })],
  purse: [
    3,
    // Room for the first call (4,500 micro-dollars) and not for the second.
    () => ({
      script: [{ tools: [{ name: 'echo', input: { value: 1 } }], usage }, finished],
      fields: { limits: { maxCostMicros: 6_000 } },
      ends: { state: 'budget_exceeded', stopReason: 'budget_exceeded', output: null },
    }),
  ],
}

const total = Object.values(shapes).reduce((sum, [weight]) => sum + weight, 0)

/** The turn that follows from a chance; `key` is unique to it. */
export function turnFrom(chance: Chance, key: string): Turn {
  let left = chance.next() * total
  const entries = Object.entries(shapes)
  const [shape, [, make]] = entries.find(([, [weight]]) => (left -= weight) < 0) ?? ['plain', [0, plain]]
  const { template = 'scripted', script, fields = {}, prefer, hooked = false, ends = done } = make(chance, key)
  return {
    shape,
    template,
    message: JSON.stringify({ script }),
    prefer: prefer ?? (chance.next() < 0.2 ? 'respond-async' : `wait=${chance.whole(0, 5)}`),
    fields,
    hooked,
    ends,
  }
}

/** The agent of a name that may get such a turn: template and webhook belong to the agent. */
export function agentFor(name: string, { template, hooked }: Turn): string {
  return [name, ...(template === 'scripted' ? [] : [template]), ...(hooked ? ['hook'] : [])].join('-')
}
