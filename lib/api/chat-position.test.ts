import type { UIMessageChunk } from 'ai'
import { describe, expect, test } from 'vitest'
import { ChatChunks } from '#lib/api/chat-chunks'
import { countChunks, positionOf, Resume, type Counted, type Position } from '#lib/api/chat-position'
import type { StoredEvent } from '#lib/core/pages'
import type { OutFrame } from '#lib/api/reader'
import { answered, called, done, frame, live } from './chat.fixture.ts'

const run = [
  ...live(1, 'The first text, which is long'),
  ...answered(1, 'tool-calls'),
  ...called(1, 'call_1'),
  ...live(2, 'The second text.'),
  ...answered(2),
  done(),
]

/** What a client that stands at `position` gets of the frames. */
function resumed(position: Position | null, frames: readonly OutFrame[] = run): UIMessageChunk[] {
  const chat = new ChatChunks('run_1')
  const resume = new Resume(position)
  const out = resume.take(chat.start())
  for (const each of frames) {
    resume.look(each, chat)
    out.push(...resume.take(chat.frame(each)))
  }
  return out
}
const all = resumed(null)

/** The text a client ends with. */
function shown(chunks: readonly UIMessageChunk[]): string {
  const steps: string[] = ['']
  for (const chunk of chunks) {
    if (chunk.type === 'start-step') steps.push('')
    if (chunk.type === 'reset-step') steps[steps.length - 1] = ''
    if (chunk.type === 'text-delta') steps[steps.length - 1] += chunk.delta
  }
  return steps.join('|')
}

describe('a client that comes back', () => {
  test.each(all.map((_, at) => at))('after %i chunks gets exactly the others', (at) => {
    expect(resumed({ chunks: at })).toEqual(all.slice(at))
  })

  test.each(all.map((_, at) => at))('after %i chunks and by its steps ends with the same text', (at) => {
    const has = all.slice(0, at)
    const steps = has.filter(({ type }) => type === 'start-step').length
    if (steps > 0) expect(shown([...has, ...resumed({ steps })])).toBe(shown(all))
  })

  test('beyond the end is refused', () => {
    expect(() => resumed({ chunks: all.length + 1 })).toThrow('beyond the end')
  })

  test('a model call is given up of which only the client has seen something', () => {
    const has = [...all.slice(0, -6), ...all.slice(-6, -5)]
    const crash = [
      ...run.slice(
        0,
        run.findIndex(({ data }) => data['step'] === 2),
      ),
      frame('resumed', { strategy: 'crash' }),
    ]
    const text = [...live(2, 'Another second text'), ...answered(2), done()]
    const rest = resumed({ chunks: has.length }, [...crash, ...text])
    expect(rest[0]).toEqual({ type: 'reset-step' })
    expect(shown([...has, ...rest])).toBe('|The first text, which is long|Another second text')
  })

  test('the run is stopped in a step of which only the client has seen something', () => {
    const has = all.slice(0, -4)
    const before = run.slice(
      0,
      run.findIndex(({ data }) => data['step'] === 2),
    )
    for (const position of [{ chunks: has.length }, { steps: 2 }]) {
      const rest = resumed(position, [...before, done('cancelled', 'interrupted')])
      expect(shown([...has, ...rest])).toBe('|The first text, which is long|')
      expect(rest.map(({ type }) => type)).toEqual(['reset-step', 'abort', 'finish'])
    }
  })

  test('a step with reasoning is sent again, for its parts may have come in another order', () => {
    const thinking = [...live(1, 'thinking hard', 'reasoning'), ...live(1, 'said and done'), ...answered(1), done()]
    const whole = resumed(null, thinking)
    const rest = resumed({ chunks: 6 }, thinking)
    expect(rest[0]).toEqual({ type: 'reset-step' })
    expect(rest.slice(1)).toEqual(whole.slice(2))
  })
})

describe('where a client stands, from the rows', () => {
  const stored = (type: string, step: number, data: Record<string, unknown> = {}): Omit<StoredEvent, 'seq'> => ({
    at: 'now',
    channel: 'progress',
    type,
    runId: 'run_1',
    step,
    data,
  })
  const step = (number: number): Omit<StoredEvent, 'seq'>[] => [
    stored('text_end', number, { text: 'sixteen letters.' }),
    stored('step_complete', number, { kind: 'model' }),
  ]
  const count = (events: Omit<StoredEvent, 'seq'>[], doubtful = false): Promise<Counted> =>
    countChunks(
      { runId: 'run_1', after: 0, goesOn: false },
      events.map((event, at) => ({ ...event, seq: at + 1 })),
      doubtful,
    )
  const crash = stored('resumed', 1, { strategy: 'crash' })
  const end = stored('done', 2, { state: 'completed', stopReason: 'end_turn' })

  test('each step has its place', async () => {
    // start, then start-step text-start 2 deltas text-end; finish-step stands before the next one.
    expect(await count([...step(1), ...step(2), end])).toEqual({
      total: 14,
      ended: true,
      open: null,
      steps: [
        { from: 1, doubtful: false },
        { from: 7, doubtful: false },
      ],
    })
  })

  test('without doubt a count is exact; at the end there is nothing more, and beyond it a refusal', async () => {
    const counted = await count([...step(1), ...step(2), end])
    expect(positionOf(9, counted)).toEqual({ chunks: 9 })
    expect(positionOf(14, counted)).toBe(null)
    expect(() => positionOf(15, counted)).toThrow('beyond the end')
    expect(positionOf(40, await count(step(1)))).toEqual({ chunks: 40 })
  })

  test('a repeated step is told by its place as long as it can be; after that nothing is guessed', async () => {
    const counted = await count([...step(1), crash, ...step(2), ...step(3), end])
    expect(positionOf(7, counted)).toEqual({ chunks: 7 })
    expect(positionOf(8, counted)).toEqual({ steps: 2 })
    expect(positionOf(13, counted)).toEqual({ steps: 2 })
    expect(() => positionOf(14, counted)).toThrow('cannot be told')
    expect(positionOf(500, await count([...step(1), crash]))).toEqual({ steps: 2 })
    expect(positionOf(500, await count([...step(1), crash, ...step(2)]))).toEqual({ steps: 2 })
    expect(positionOf(9, await count([...step(1), stored('done', 1, { state: 'killed', stopReason: 'killed' })]))).toEqual({ steps: 2 })
    const doubtful = await count([...step(1), ...step(2), ...step(3)], true)
    expect(() => positionOf(8, doubtful)).toThrow('cannot be told')
  })
})
