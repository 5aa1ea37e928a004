import { expect, test } from 'vitest'
import type { BatonEvent, Channel, EventType } from '#client/events'
import { askedFor } from '#client/filter'

const event = (type: EventType, channel: Channel): BatonEvent => ({ type, channel, runId: 'run_1', step: 1 }) as BatonEvent

test('without a filter nothing is asked for, and everything passes', () => {
  const { query, passes } = askedFor({})
  expect(query).toEqual({})
  expect(passes(event('retry', 'monitor'))).toBe(true)
})

test('types: the end of the run is always asked for, and the bookkeeping of texts where live text is wanted; what was wanted passes', () => {
  const tools = askedFor({ types: ['tool_end'] })
  expect(tools.query).toEqual({ types: 'tool_end,done' })
  expect([tools.passes(event('tool_end', 'progress')), tools.passes(event('done', 'progress'))]).toEqual([true, false])
  const { query, passes } = askedFor({ types: ['text_delta', 'retry'] })
  expect(query).toEqual({ types: 'text_delta,retry,step_reset,text_end,reasoning_end,step_complete,resumed,window_moved,done' })
  expect([passes(event('retry', 'monitor')), passes(event('text_end', 'progress'))]).toEqual([true, false])
})

test('channels: text needs the monitor beside it, and the end of a run is in progress; what was wanted passes', () => {
  const progress = askedFor({ channels: ['progress'] })
  expect(progress.query).toEqual({ channels: 'progress,monitor' })
  expect([progress.passes(event('text_end', 'progress')), progress.passes(event('retry', 'monitor'))]).toEqual([true, false])
  const control = askedFor({ channels: ['control'] })
  expect(control.query).toEqual({ channels: 'control,progress' })
  expect([control.passes(event('approval_required', 'control')), control.passes(event('done', 'progress'))]).toEqual([true, false])
})

test('types and channels together: both must fit', () => {
  const { passes } = askedFor({ types: ['done', 'usage'], channels: ['monitor'] })
  expect([passes(event('usage', 'monitor')), passes(event('done', 'progress')), passes(event('retry', 'monitor'))]).toEqual([
    true,
    false,
    false,
  ])
})
