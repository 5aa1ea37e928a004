import type { UIMessageChunk } from 'ai'
import { describe, expect, test } from 'vitest'
import { ChatChunks, errorChunk, tellsOfGivenUp } from '#lib/api/chat-chunks'
import { piecesFrom } from '#lib/api/chat-pieces'
import { BatonError } from '#lib/core/errors'
import type { OutFrame } from '#lib/api/reader'
import { answered, called, done, frame, live, messageOf, valid } from './chat.fixture.ts'

async function chunksOf(frames: readonly OutFrame[], goesOn = false): Promise<UIMessageChunk[]> {
  const chat = new ChatChunks('run_1', goesOn)
  const chunks = [...chat.start(), ...frames.flatMap((each) => chat.frame(each))]
  await valid(chunks)
  return chunks
}
const types = (chunks: readonly UIMessageChunk[]): string[] => chunks.map(({ type }) => type)

describe('pieces', () => {
  const text = 'Ein Wald 🌲🌲🌲🌲🌲🌲🌲🌲🌲🌲 und noch einer, '.repeat(400)

  test('are the same however the text comes in, and none cuts a character', () => {
    const whole = piecesFrom(text, 0, true)
    expect(whole.join('')).toBe(text)
    expect(whole.every((piece) => piece.isWellFormed())).toBe(true)
    for (const by of [1, 7, 8, 1_000]) {
      const pieces: string[] = []
      let sent = 0
      for (let known = by; known < text.length; known += by) {
        const more = piecesFrom(text.slice(0, known), sent, false)
        sent += more.join('').length
        pieces.push(...more)
      }
      expect([...pieces, ...piecesFrom(text, sent, true)]).toEqual(whole)
    }
  })

  test('grow with the text', () => {
    expect(piecesFrom('x'.repeat(100_000), 0, true).length).toBeLessThan(1_300)
    expect(piecesFrom('', 0, true)).toEqual([])
  })
})

test('a run with a tool: one message of two steps, the same live and from the rows', async () => {
  const calls = called(1, 'call_1')
  const first = [...live(1, 'Let me see what is there'), ...answered(1, 'tool-calls'), ...calls]
  const chunks = await chunksOf([...first, ...live(2, 'There it is.'), ...answered(2), done()])
  expect(types(chunks)).toEqual(
    `start start-step text-start text-delta text-delta text-delta text-end tool-input-available tool-output-available
     finish-step start-step text-start text-delta text-delta text-end finish-step finish`.split(/\s+/),
  )
  expect(chunks[0]).toEqual({ type: 'start', messageId: 'run_1', messageMetadata: { runId: 'run_1' } })
  expect(chunks.at(-1)).toMatchObject({ finishReason: 'stop', messageMetadata: { stopReason: 'end_turn', costMicros: 1 } })
  const replay = [frame('text_start', { step: 1 }), frame('text_delta', { step: 1, offset: 0, text: 'Let me see what is there' })]
  expect(await chunksOf([...replay, ...answered(1, 'tool-calls'), ...calls, ...live(2, 'There it is.'), ...answered(2), done()])).toEqual(
    chunks,
  )
})

test('a budget notice waits for the end of the step, a hand-off is told at once', async () => {
  const notice = frame('budget', { scope: 'tenant', seq: 4, at: 'now' })
  const early = await chunksOf([
    notice,
    ...live(1, 'twelve chars'),
    ...answered(1),
    frame('handed_off', { reason: 'slice_deadline', slice: 1 }),
  ])
  const late = await chunksOf([
    ...live(1, 'twelve chars'),
    notice,
    ...answered(1),
    frame('handed_off', { reason: 'slice_deadline', slice: 1 }),
  ])
  expect(early).toEqual(late)
  expect(early.slice(-2)).toEqual([
    { type: 'data-budget', id: 'budget', data: { scope: 'tenant' } },
    { type: 'data-handoff', id: 'handoff', data: { runId: 'run_1', reason: 'slice_deadline', slice: 1 } },
  ])
})

test('a repeated step: reset-step drops what was shown, and only while there is something to drop', async () => {
  const chunks = await chunksOf([
    ...live(1, 'a text that breaks off'),
    frame('step_reset', { step: 1 }),
    ...live(1, 'another text'),
    ...answered(1),
    frame('step_reset', { step: 1 }),
    done(),
  ])
  expect(types(chunks).filter((type) => type === 'reset-step')).toHaveLength(1)
  expect(types(chunks).slice(-8)).toEqual(
    ['reset-step', 'text-start', 'text-delta', 'text-delta', 'text-end', 'finish-step', 'finish'].toSpliced(0, 0, 'text-delta'),
  )
})

test('reasoning comes before the text and both end with the step', async () => {
  const chunks = await chunksOf([
    ...live(1, 'I think so', 'reasoning'),
    ...live(1, 'Yes'),
    frame('reasoning_end', { step: 1 }),
    ...answered(1),
    done(),
  ])
  expect(types(chunks).slice(2, -2)).toEqual([
    'reasoning-start',
    'reasoning-delta',
    'reasoning-delta',
    'text-start',
    'text-delta',
    'reasoning-end',
    'text-end',
  ])
})

test('a model call after an answer without words is a step of its own, though its number is the same', async () => {
  const thought = [...live(1, 'hm', 'reasoning'), frame('reasoning_end', { step: 1 }), frame('step_complete', { step: 1, kind: 'model' })]
  const blank = [...live(1, ' '), ...answered(1)]
  const then = [...live(1, 'then this'), ...answered(1), done()]
  for (const [empty, parts] of [
    [thought, [{ type: 'reasoning', text: 'hm' }]],
    [blank, [{ type: 'text', text: ' ' }]],
    [[frame('step_complete', { step: 1, kind: 'model' })], []],
  ] as const) {
    const cut = [...live(1, 'cut off'), frame('step_reset', { step: 1 })]
    const message = await messageOf(await chunksOf([...empty, ...cut, ...then]))
    expect(message?.parts).toMatchObject([{ type: 'step-start' }, ...parts, { type: 'step-start' }, { type: 'text', text: 'then this' }])
  }
})

test('a tool that asks, both ways, and after the pause nothing is shown twice', async () => {
  const asked = frame('approval_required', {
    step: 1,
    callId: 'call_1',
    tool: 'charge',
    input: { cents: 5 },
    reason: 'it costs',
    approvalId: 'apr_1',
  })
  const decided = frame('approval_decided', { step: 1, callId: 'call_1', approvalId: 'apr_1', decision: 'deny', note: 'no' })
  const denied = frame('tool_end', { step: 1, call: { callId: 'call_1', name: 'charge', state: 'denied', output: null } })
  const start = frame('tool_start', { step: 1, callId: 'call_1', name: 'charge', input: { cents: 5 } })
  const whole = await chunksOf([...answered(1, 'tool-calls').slice(2), asked, decided, start, denied])
  expect(whole.slice(2)).toEqual([
    { type: 'tool-input-available', toolCallId: 'call_1', toolName: 'charge', input: { cents: 5 } },
    { type: 'tool-approval-request', toolCallId: 'call_1', approvalId: 'apr_1', reason: 'it costs' },
    { type: 'tool-approval-response', approvalId: 'apr_1', approved: false, reason: 'no' },
    { type: 'tool-output-denied', toolCallId: 'call_1' },
  ])
  const rest = await chunksOf([decided, start, denied, ...live(2, 'Well'), ...answered(2, 'tool-calls'), ...called(2, 'call_2')], true)
  expect(types(rest)).toEqual(
    'start tool-output-denied start-step text-start text-delta text-end tool-input-available tool-output-available'.split(' '),
  )
})

test('ends: a failure says why before finish, a stop is an abort, a pause asks for answers', async () => {
  const failed = await chunksOf([done('failed', 'provider_auth', { error: { code: 'provider_auth', message: 'key refused' } })])
  expect(failed.slice(1)).toMatchObject([{ type: 'error', errorText: 'provider_auth: key refused' }, { finishReason: 'error' }])
  expect((await chunksOf([done('cancelled', 'interrupted')])).slice(1)).toMatchObject([
    { type: 'abort', reason: 'interrupted' },
    { type: 'finish', finishReason: 'interrupted' },
  ])
  expect((await chunksOf([done('completed', 'max_tokens')])).at(-1)).toMatchObject({ finishReason: 'length' })
  expect((await chunksOf([done('killed', 'killed')])).slice(1)).toMatchObject([{ errorText: 'killed: The run ended as killed.' }, {}])
  const paused = new ChatChunks('run_1').pause('awaiting_approval')
  await valid(paused)
  expect(paused).toMatchObject([{ type: 'finish', finishReason: 'tool-calls', messageMetadata: { state: 'awaiting_approval' } }])
})

test('errors of tools and streams are sentences', async () => {
  const output = { type: 'error-json', value: { ok: false, message: 'no rain' } }
  const [, , chunk] = await chunksOf([frame('tool_end', { step: 1, call: { callId: 'c', name: 'n', state: 'sealed', output } })])
  expect(chunk).toEqual({ type: 'tool-output-error', toolCallId: 'c', errorText: 'no rain' })
  expect(errorChunk(new BatonError('invalid_cursor', 'beyond'))).toEqual({ type: 'error', errorText: 'invalid_cursor: beyond' })
})

test('which events tell of a model call that was given up', () => {
  const tells = (type: string, data: Record<string, unknown> = {}): boolean => tellsOfGivenUp({ type, data })
  expect([tells('retry'), tells('resumed', { strategy: 'crash' }), tells('handed_off', { reason: 'hard_limit' })]).toEqual([
    true,
    true,
    true,
  ])
  expect([
    tells('retry', { gate: true }),
    tells('resumed', { strategy: 'hand_off' }),
    tells('handed_off', { reason: 'slice_deadline' }),
  ]).toEqual([false, false, false])
})
