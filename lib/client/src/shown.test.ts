import { describe, expect, test } from 'vitest'
import type { BatonEvent } from '#client/events'
import { Shown } from '#client/shown'
import { texts } from '#client/text'

const start = { type: 'text_start', channel: 'progress', runId: 'run_1', step: 1 } as const
const delta = (offset: number, text: string, more: object = { epoch: 1, attempt: 0 }): BatonEvent => ({
  type: 'text_delta',
  channel: 'progress',
  runId: 'run_1',
  step: 1,
  offset,
  text,
  ...more,
})
const durable = (seq: number, type: string, more: object = {}): BatonEvent =>
  ({ type, seq, at: '', channel: 'progress', runId: 'run_1', step: 1, ...more }) as unknown as BatonEvent
const reset = { type: 'step_reset', channel: 'progress', runId: 'run_1', step: 1 }

async function* shownBy(events: BatonEvent[]): AsyncGenerator<BatonEvent, void, undefined> {
  const shown = new Shown()
  for (const event of events) yield* shown.take(event)
}
async function shows(...events: BatonEvent[]): Promise<{ out: unknown[]; text: string[] }> {
  const out: unknown[] = []
  for await (const event of shownBy(events)) out.push(event)
  const text: string[] = []
  for await (const now of texts(shownBy(events))) text.push(now)
  return { out, text }
}

describe('a stream over several connections', () => {
  test('a connection that begins again with the text so far: only what is new is shown', async () => {
    const { out, text } = await shows(start, delta(0, 'Hel'), start, delta(0, 'Hello'), delta(3, 'lo w'), delta(7, 'orld'))
    expect(out).toEqual([start, delta(0, 'Hel'), delta(3, 'lo'), delta(5, ' w'), delta(7, 'orld')])
    expect(text).toEqual(['Hel', 'Hello', 'Hello w', 'Hello world'])
  })

  test('a gap shows nothing: the whole comes with the stored text', async () => {
    const end = durable(4, 'text_end', { text: 'Hello', part: 0 })
    const { out, text } = await shows(delta(0, 'H'), delta(3, 'lo'), end)
    expect(out).toEqual([start, delta(0, 'H'), { ...delta(1, 'ello', {}) }, end])
    expect(text).toEqual(['H', 'Hello'])
  })

  test('what is true only now is told once, and is no position', async () => {
    const blocked = { type: 'blocked', channel: 'control', blockingRunId: 'run_0' } as unknown as BatonEvent
    const next = { ...blocked, blockingRunId: 'run_2' } as unknown as BatonEvent
    const { out } = await shows(durable(4, 'usage'), blocked, durable(4, 'usage'), blocked, durable(5, 'usage'), next)
    expect(out).toEqual([durable(4, 'usage'), blocked, durable(5, 'usage'), next])
  })

  test('a run before it that went on and is paused anew is told again', async () => {
    const asks = (id: string): BatonEvent =>
      ({ type: 'blocked', channel: 'control', blockingRunId: 'run_0', approvals: [{ id }] }) as unknown as BatonEvent
    const { out } = await shows(asks('apr_1'), asks('apr_1'), asks('apr_2'), asks('apr_2'))
    expect(out).toEqual([asks('apr_1'), asks('apr_2')])
  })

  test('another attempt or epoch takes back what was shown, also where nobody said so', async () => {
    for (const other of [
      { epoch: 2, attempt: 0 },
      { epoch: 1, attempt: 1 },
    ]) {
      const { out, text } = await shows(delta(0, 'Hel'), delta(0, 'Helm', other))
      expect(out).toEqual([start, delta(0, 'Hel'), reset, start, delta(0, 'Helm', other)])
      expect(text).toEqual(['Hel', '', 'Helm'])
    }
  })

  test('pieces made from the stored text carry no epoch: the text itself decides', async () => {
    const { out } = await shows(delta(0, 'Hel'), start, delta(0, 'Hello', {}))
    expect(out).toEqual([start, delta(0, 'Hel'), delta(3, 'lo', {})])
    const { text } = await shows(delta(0, 'Hel'), start, delta(0, 'Good', {}))
    expect(text).toEqual(['Hel', '', 'Good'])
  })

  test('the stored text wins over what was shown', async () => {
    const end = durable(4, 'text_end', { text: 'Good', part: 0 })
    const { out, text } = await shows(delta(0, 'Hel'), end)
    expect(out).toEqual([start, delta(0, 'Hel'), reset, start, delta(0, 'Good', {}), end])
    expect(text.at(-1)).toBe('Good')
  })

  test('reasoning that is told again after a reset is no open text at the end of the step', async () => {
    const why = { type: 'reasoning_delta', channel: 'progress', runId: 'run_1', step: 1, offset: 0, text: 'why' } as const
    const [thought, said] = [durable(1, 'reasoning_end', { text: 'why', part: 0 }), durable(2, 'text_end', { text: 'right', part: 0 })]
    const { out } = await shows(
      why,
      thought,
      delta(0, 'wrong'),
      reset as BatonEvent,
      why,
      delta(0, 'right', {}),
      said,
      durable(3, 'step_complete'),
    )
    const types = out.map((event) => (event as BatonEvent).type).join(' ')
    expect(types).toBe(
      'reasoning_start reasoning_delta reasoning_end text_start text_delta step_reset ' +
        'reasoning_start reasoning_delta text_start text_delta text_end step_complete',
    )
  })

  test('durable events come once, in order; what gives a call up takes back its text', async () => {
    const [one, two] = [durable(1, 'state_changed'), durable(2, 'resumed')]
    const { out } = await shows(one, delta(0, 'x'), one, two, two)
    expect(out).toEqual([one, start, delta(0, 'x'), two, reset])
  })

  test('a stream that is told from its first event again, to who may not read it from the middle: nothing comes twice', async () => {
    const of = (step: number, event: BatonEvent): BatonEvent => ({ ...event, step })
    const told = [
      durable(1, 'state_changed'),
      ...[1, 2].flatMap((step) => [
        of(step, start),
        of(step, delta(0, `step ${step}`, {})),
        of(step, durable(step * 2, 'text_end', { text: `step ${step}`, part: 0 })),
        of(step, durable(step * 2 + 1, 'step_complete')),
      ]),
    ]
    const all = [...told, of(3, start), of(3, delta(0, 'thr')), of(3, delta(3, 'ee'))]
    const once = await shows(...all)
    expect(once.text).toEqual(['step 1', 'step 2', 'thr', 'three'])
    for (const known of all.keys()) expect([known, await shows(...all.slice(0, known), ...all)]).toEqual([known, once])
  })

  test('the text of a step that is over is no measure for the next one of its number: of another run, or after an answer without words', async () => {
    for (const [said, other] of [
      ['Yes', { runId: 'run_2' }],
      [' ', { attempt: 1 }],
    ] as const) {
      const next = (offset: number, text: string): BatonEvent => ({ ...delta(offset, text), ...other })
      const [end, over] = [durable(1, 'text_end', { text: said, part: 0 }), durable(2, 'step_complete')]
      const { out, text } = await shows(delta(0, said), end, over, next(0, said), next(said.length, ', and'), reset as BatonEvent)
      const types = out.map((event) => (event as BatonEvent).type).join(' ')
      expect(types).toBe('text_start text_delta text_end step_complete text_start text_delta text_delta step_reset')
      expect(text).toEqual([said, `${said}, and`, ''])
    }
  })

  test('at the end of a step nothing is taken back, and the next step is shown instead', async () => {
    const second = { ...delta(0, 'two'), step: 2 } as BatonEvent
    const end = durable(1, 'text_end', { text: 'one', part: 0 })
    const { out, text } = await shows(delta(0, 'one'), end, durable(2, 'step_complete'), second)
    expect(out.map((event) => (event as BatonEvent).type)).not.toContain('step_reset')
    expect(text).toEqual(['one', 'two'])
  })
})
