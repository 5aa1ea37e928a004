import { describe, expect, test } from 'vitest'
import { readIdempotencyKey, readIfMatchAny, readPrefer } from '#lib/http/prefer'

const bounds = { defaultWaitMs: 25_000, maxWaitMs: 55_000 }
const prefer = (...values: string[]) => readPrefer(new Headers(values.map((value): [string, string] => ['prefer', value])), bounds)

describe('Prefer', () => {
  test.each([
    [[], { waitMs: 25_000, respondAsync: false, applied: null }],
    [['wait=3'], { waitMs: 3_000, respondAsync: false, applied: 'wait=3' }],
    [['wait=0'], { waitMs: 0, respondAsync: false, applied: 'wait=0' }],
    [['WAIT = "7"'], { waitMs: 7_000, respondAsync: false, applied: 'wait=7' }],
    [['wait=9999'], { waitMs: 55_000, respondAsync: false, applied: 'wait=55' }],
    [['respond-async'], { waitMs: 0, respondAsync: true, applied: 'respond-async' }],
    [['handling=lenient; x="a,wait=1"', 'wait=4'], { waitMs: 4_000, respondAsync: false, applied: 'wait=4' }],
    [['wait=1, wait=2'], { waitMs: 1_000, respondAsync: false, applied: 'wait=1' }],
    [['wait=-1'], { waitMs: 25_000, respondAsync: false, applied: null }],
    [['wait=1.5'], { waitMs: 25_000, respondAsync: false, applied: null }],
    [['wait'], { waitMs: 25_000, respondAsync: false, applied: null }],
    [['wait="1'], { waitMs: 25_000, respondAsync: false, applied: null }],
    [[',,;=,"'], { waitMs: 25_000, respondAsync: false, applied: null }],
  ])('%j', (values, expected) => {
    expect(prefer(...values)).toEqual(expected)
  })
})

test('who is answered at once has waited for nothing, and is not told so', () => {
  expect(prefer('wait=2, respond-async')).toEqual({ waitMs: 0, respondAsync: true, applied: 'respond-async' })
})

test('Idempotency-Key is 1 to 255 visible ASCII characters', () => {
  const key = (value: string) => readIdempotencyKey(new Headers({ 'idempotency-key': value }))
  expect(readIdempotencyKey(new Headers())).toBeNull()
  expect(key('k-1:~!')).toBe('k-1:~!')
  expect(key('k'.repeat(255))).toHaveLength(255)
  for (const bad of ['', 'a b', 'k'.repeat(256), 'é', 'a, b']) expect(() => key(bad)).toThrow('Idempotency-Key')
})

test('If-Match understands the star only', () => {
  const match = (value: string) => readIfMatchAny(new Headers({ 'if-match': value }))
  expect(readIfMatchAny(new Headers())).toBe(false)
  expect(match('*')).toBe(true)
  expect(() => match('"abc"')).toThrow('If-Match')
})
