import { describe, expect, test } from 'vitest'
import {
  documentTokens,
  estimateContent,
  estimateTokens,
  jsonBytes,
  modelMessages,
  movable,
  nextWindow,
  pictureTokens,
} from '#lib/core/window'
import { row } from '#lib/core/state.fixture'

const limits = { maxTokens: 100, maxMessages: 10, keepFirst: 0 }
/** Turns of user, call, result and answer of 10 tokens each. */
const turns = (count: number): ReturnType<typeof row>[] =>
  Array.from({ length: count }, (_, turn) =>
    (['user', 'assistant', 'tool', 'assistant'] as const).map((role, index) => row(turn * 4 + index + 1, role)),
  ).flat()

describe('nextWindow', () => {
  test('stays while both limits hold', () => {
    expect(nextWindow(turns(2), limits)).toBeNull()
    expect(nextWindow(turns(2), { ...limits, maxTokens: 80 })).toBeNull()
  })

  test('moves to a user message when a limit is passed, with room to spare', () => {
    expect(nextWindow(turns(3), limits)).toBe(9)
    expect(nextWindow(turns(5), { ...limits, maxMessages: 1_000 })).toBe(17)
    expect(nextWindow(turns(3), { ...limits, maxTokens: 1_000 })).toBe(9)
  })

  test('moves no further than half of each limit needs, and stays where a limit is just reached', () => {
    expect(nextWindow(turns(5), { ...limits, maxTokens: 160, maxMessages: 1_000 })).toBe(13)
    expect(nextWindow(turns(5), { ...limits, maxTokens: 159, maxMessages: 1_000 })).toBe(17)
    expect(nextWindow(turns(5), { ...limits, maxTokens: 1_000, maxMessages: 15 })).toBe(13)
    expect(nextWindow(turns(5), { ...limits, maxTokens: 1_000, maxMessages: 14 })).toBe(17)
    expect(nextWindow(turns(5), { ...limits, maxTokens: 1_000, maxMessages: 19 })).toBe(13)
    expect(nextWindow(turns(2), { ...limits, maxMessages: 8 })).toBeNull()
    expect(nextWindow(turns(2), { ...limits, maxMessages: 7 })).toBe(5)
  })

  test('forced, it gives up half of the tokens, however many messages that leaves', () => {
    expect(nextWindow(turns(8), limits, true)).toBe(17)
    const heavy = turns(8).map((message) => (message.seq === 3 ? { ...message, estTokens: 5_000 } : message))
    expect(nextWindow(heavy, { ...limits, maxMessages: 1 }, true)).toBe(5)
  })

  test('never parts a call from its result: for any limits it begins at a user message', () => {
    const window = turns(6)
    for (let maxTokens = 1; maxTokens < 260; maxTokens++) {
      for (const maxMessages of [1, 3, 7, 24]) {
        const from = nextWindow(window, { maxTokens, maxMessages, keepFirst: 0 })
        if (from !== null) expect(window.find((message) => message.seq === from)?.role).toBe('user')
      }
    }
  })

  test('keeps the last user message, however long it is', () => {
    expect(nextWindow([...turns(1), row(5, 'user', 'x', 5_000)], limits)).toBe(5)
    expect(nextWindow([row(1, 'user', 'x', 5_000)], limits)).toBeNull()
  })

  test('forced, it moves although it fits, and says so when it cannot', () => {
    expect(nextWindow(turns(2), limits, true)).toBe(5)
    expect(nextWindow(turns(1), limits, true)).toBeNull()
  })

  test('what keepFirst keeps is no place to move to', () => {
    expect(movable([row(1, 'user'), row(11, 'user'), row(0, 'assistant')], 11).map((message) => message.seq)).toEqual([11, 0])
    const window = [row(1, 'user'), row(3, 'user'), ...turns(3).map((message) => ({ ...message, seq: message.seq + 10 }))]
    expect(movable(window, 11).map((message) => message.seq)).toEqual(turns(3).map((message) => message.seq + 10))
    expect(nextWindow(movable(window, 11), limits, true)).toBe(19)
  })
})

test('the model never sees a window that begins with an answer or a result', () => {
  expect(modelMessages(turns(2).slice(2)).map((message) => message.role)).toEqual(['user', 'assistant', 'tool', 'assistant'])
})

test('estimates are by bytes of UTF-8, never below a token', () => {
  expect([estimateTokens(0), estimateTokens(300)]).toEqual([1, 101])
  expect([jsonBytes('é'), jsonBytes(undefined)]).toEqual([4, 0])
})

test('a picture counts by its pixels and a document at an address by its pages; what a data URL says of itself goes first', () => {
  const photo = `data:image/jpeg;base64,${'A'.repeat(200_000)}`
  const text = { type: 'text' as const, text: 'look' }
  const plain = estimateContent([text])
  const file = (data: string, mediaType: string) => estimateContent([text, { type: 'file', data, mediaType }]) - plain
  expect(estimateContent([text, { type: 'image', image: photo }]) - plain).toBe(pictureTokens)
  expect(estimateContent([text, { type: 'image', image: new URL('https://example.com/a.png') }]) - plain).toBe(pictureTokens)
  expect([file(photo, 'image/jpeg'), file('https://example.com/a.png', 'image/png')]).toEqual([pictureTokens, pictureTokens])
  expect([file('https://example.com/a.pdf', 'application/pdf'), file(photo, 'application/pdf') > 60_000]).toEqual([documentTokens, true])
  const posing = `data:application/pdf;base64,${'A'.repeat(200_000)}`
  expect([file(posing, 'image/png') > 60_000, estimateContent([text, { type: 'image', image: posing }]) > 60_000]).toEqual([true, true])
  expect([file('HTTPS://example.com/a.pdf', 'application/pdf'), file('DATA:Image/png;base64,AA', 'IMAGE/png')]).toEqual([
    documentTokens,
    pictureTokens,
  ])
  expect(estimateContent('x'.repeat(298))).toBe(101)
})
