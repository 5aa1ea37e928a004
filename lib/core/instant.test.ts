import { expect, test } from 'vitest'
import { z } from 'zod'
import { instant, instantBefore } from '#lib/core/instant'

test('what the database keeps is an instant', () => {
  const kept = [
    '2026-01-01T00:00:00Z',
    '0001-01-01T00:00:00Z',
    '9999-12-31T23:59:59.999999Z',
    '9999-12-31T23:59:59.999999499Z',
    '2026-01-01T00:00:00.123456789+05:45',
    '2026-01-01T00:00:00-15:59',
    `2026-01-01T00:00:00.${'1'.repeat(30)}Z`,
  ]
  expect(kept.filter((text) => !instant.safeParse(text).success)).toEqual([])
})

test('what the database refuses, or gives back as something else, is none, and the text says what to write', () => {
  const refused = [
    '0000-01-01T00:00:00Z',
    '0000-12-31T23:00:00-01:00',
    '0001-01-01T00:00:00+01:00',
    '9999-12-31T23:59:59-10:00',
    '9999-12-31T23:59:59.9999995Z',
    '2026-01-01T00:00:00+16:00',
    '2026-01-01T00:00:00-23:59',
    `2026-01-01T00:00:00.${'1'.repeat(200)}Z`,
  ]
  for (const text of refused) {
    expect(instant.safeParse(text).error?.issues[0]?.message, text).toMatch(/years 0001 to 9999 of UTC.*offset.*15:59/)
  }
})

test('a text that is no instant at all is told so, once', () => {
  expect(instant.safeParse('yesterday').error?.issues.map(({ code }) => code)).toEqual(['invalid_format'])
})

test('documents say date-time', () => {
  expect(z.toJSONSchema(instant)).toMatchObject({ type: 'string', format: 'date-time' })
})

test('a default beginning lies in the years that the database knows', () => {
  expect(instantBefore('2026-03-01T12:00:00+02:00', 86_400_000)).toBe('2026-02-28T10:00:00.000Z')
  expect(instantBefore('0001-01-02T00:00:00Z', 86_400_000)).toBe('0001-01-01T00:00:00.000Z')
  for (const at of ['0001-01-01T00:00:00Z', '0001-01-10T00:00:00Z'])
    expect(instant.safeParse(instantBefore(at, 30 * 86_400_000))).toMatchObject({ success: true, data: '0001-01-01T00:00:00.000Z' })
})
