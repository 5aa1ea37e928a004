import type { RunView } from '#lib/core/store'
import type { CrashPoint } from '#local/crash'
import { script, type Answer, type SendOptions } from '#tests/world'

/** What a caller sends, how it must end, and where processes die in it. */
export interface Scenario {
  name: string
  /** One entry a message; all go to the same agent, one after the other is accepted. */
  messages: readonly { answers: readonly Answer[]; options?: SendOptions }[]
  webhook?: boolean
  /** Checked after every crash, beside the invariants. */
  expect?: (run: RunView) => void
  /** Points of every test run, as [at, call, nth]; BATON_CRASH_ALL=1 takes each call and each nth that the scenario reaches. */
  points: readonly (readonly [CrashPoint['at'], string, number])[]
}

const usage = { input: 1_000, output: 100 }
const tools = (...list: { name: string; input: unknown }[]): Answer => ({ tools: list, usage })
const last: Answer = { text: 'finished', usage }

/** Outward calls of a server in which it may die; `tool` and `model` die only before, for only then is their outcome unknown. */
export const allCalls = [
  'baton_open',
  'baton_claim',
  'baton_commit',
  'baton_renew',
  'baton_outbox_sent',
  'baton_sweep',
  'baton_take_delivery',
  'baton_record_delivery',
  'model',
  'tool',
]

/** `key` makes the keys of effects unique to one crash case. */
export function scenarios(key: string): Scenario[] {
  return [
    {
      name: 'a plain turn',
      messages: [{ answers: [last] }],
      points: [
        ['before', 'baton_open', 1],
        ['after', 'baton_open', 1],
        ['before', 'model', 1],
        ['before', 'baton_commit', 1],
        ['after', 'baton_commit', 1],
      ],
    },
    {
      name: 'two tools in parallel, pure and idempotent',
      messages: [{ answers: [tools({ name: 'echo', input: { value: 1 } }, { name: 'count', input: { key } }), last] }],
      points: [
        ['before', 'tool', 2],
        ['after', 'baton_commit', 1],
        ['before', 'baton_commit', 2],
        ['after', 'baton_commit', 2],
        ['after', 'baton_commit', 3],
      ],
    },
    {
      name: 'a once tool',
      messages: [{ answers: [tools({ name: 'charge', input: { key, cents: 5 } }), last] }],
      points: [
        ['before', 'baton_commit', 1],
        ['after', 'baton_commit', 1],
        ['before', 'tool', 1],
        ['before', 'baton_commit', 2],
        ['after', 'baton_commit', 2],
      ],
    },
    {
      name: 'a hand-off',
      messages: [
        {
          answers: [
            { ...tools({ name: 'count', input: { key } }), delayMs: 250 },
            tools({ name: 'charge', input: { key: `${key}-once`, cents: 5 } }),
            last,
          ],
          options: { limits: { sliceMs: 200 }, prefer: 'wait=20' },
        },
      ],
      points: [
        ['before', 'baton_commit', 1],
        ['after', 'baton_commit', 1],
        ['before', 'baton_claim', 1],
        ['after', 'baton_claim', 1],
        ['before', 'tool', 1],
      ],
    },
    {
      name: 'a webhook',
      webhook: true,
      messages: [{ answers: [last] }],
      points: [
        ['after', 'baton_commit', 1],
        ['after', 'baton_take_delivery', 1],
        ['before', 'baton_record_delivery', 1],
        ['after', 'baton_record_delivery', 1],
      ],
    },
    {
      name: 'a wait for a retry',
      messages: [
        { answers: [{ text: 'finished', usage, error: { status: 503, times: 1, retryAfter: 1 } }], options: { limits: { sliceMs: 400 } } },
      ],
      points: [
        ['before', 'baton_commit', 1],
        ['after', 'baton_commit', 1],
        ['after', 'baton_claim', 1],
      ],
    },
    {
      name: 'two messages in a queue',
      messages: [
        { answers: [{ ...last, delayMs: 400 }], options: { prefer: 'respond-async' } },
        { answers: [last], options: { onBusy: 'enqueue', prefer: 'respond-async' } },
      ],
      points: [
        ['after', 'baton_open', 1],
        ['before', 'baton_commit', 1],
        ['after', 'baton_commit', 1],
        ['after', 'baton_claim', 1],
      ],
    },
  ]
}

/** The body of a scenario's message. */
export function bodyOf(answers: readonly Answer[]): string {
  return script(...answers)
}
