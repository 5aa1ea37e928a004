import { expect, test, vi } from 'vitest'
import { plain, tooDeep } from '#lib/core/plain'

test('a value is copied as JSON has it', () => {
  const value = { at: new Date(0), none: undefined, list: [1, undefined], odd: Number.NaN }
  expect(plain(value)).toEqual({ at: '1970-01-01T00:00:00.000Z', list: [1, null], odd: null })
  expect([undefined, () => 1, Symbol('x')].map(plain)).toEqual([undefined, undefined, undefined])
})

test('what JSON cannot write is told in its place, and nothing throws', () => {
  const cyclic: Record<string, unknown> = { id: 5n }
  cyclic['self'] = cyclic
  expect(plain(cyclic)).toEqual({ id: '5', self: '[circular]' })
  const broken = {
    ok: 1,
    bad: {
      toJSON: () => {
        throw new Error('no')
      },
    },
    worse: {
      get it(): never {
        throw new Error('no')
      },
    },
  }
  expect(plain(broken)).toEqual({ ok: 1, bad: '[unreadable]', worse: '[unreadable]' })
  const deep: { in?: unknown } = {}
  let at = deep
  for (let level = 0; level < 100_000; level++) at = at.in = {}
  expect(JSON.stringify(plain(deep))).toContain('[too large]')
  expect(plain(Array.from({ length: 60_000 }, () => ({ n: 1n })))).toHaveLength(60_000)
})

test('what JSON can write and is nested deeper than 64 levels is cut there; nothing that walks through it overflows', () => {
  const nested = (levels: number): unknown => JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`)
  expect(plain(nested(64))).toEqual(nested(64))
  for (const levels of [65, 3_000]) {
    const copy = plain(nested(levels))
    expect(tooDeep(copy)).toBe(false)
    expect(JSON.stringify(copy)).toBe(`${'['.repeat(64)}"[too large]"${']'.repeat(64)}`)
  }
})

test('functions and symbols are left out also where something else must be told in its place', () => {
  const odd = Object.assign(() => 0, {
    toJSON() {
      throw new Error('no')
    },
  })
  expect(plain({ f: odd, s: Symbol('x'), n: 1n })).toEqual({ n: '1' })
  expect(plain([odd, Symbol('x'), 1n])).toEqual([null, null, '1'])
  expect(plain(odd)).toBeUndefined()
})

test('what no string could hold as JSON is told as too large', () => {
  const stringify = vi.spyOn(JSON, 'stringify').mockImplementation(() => {
    throw new RangeError('Invalid string length')
  })
  const told = plain({ long: 'x' })
  stringify.mockRestore()
  expect(told).toBe('[too large]')
})

test('only what JSON cannot write is counted and cut: 50,000 parts of it are kept, what is plain is kept whole', () => {
  const objects = (count: number, n: unknown): unknown[] => Array.from({ length: count }, () => ({ n }))
  const json = (value: unknown): string => JSON.stringify(value)
  expect(json(plain(objects(60_000, 1))) === json(objects(60_000, 1))).toBe(true)
  expect(json(plain(objects(50_000, 1n))) === json([...objects(49_999, '1'), '[too large]'])).toBe(true)
})

test('beside what must be told in its place the rest stays as JSON has it', () => {
  const shared = { of: 'both' }
  const value = { big: 1n, none: null, a: shared, b: [shared, shared], toJSON: 'a field', at: new Date(0), deep: { toJSON: 7 } }
  expect(plain(value)).toEqual({
    big: '1',
    none: null,
    a: shared,
    b: [shared, shared],
    toJSON: 'a field',
    at: '1970-01-01T00:00:00.000Z',
    deep: { toJSON: 7 },
  })
})

test('what answers with itself for ever ends after 64 levels', () => {
  let asked = 0
  const endless = (): object => ({
    toJSON: () => {
      asked += 1
      return endless()
    },
  })
  expect(plain({ endless: endless(), big: 1n })).toEqual({ endless: '[too large]', big: '1' })
  expect(asked).toBeLessThan(200)
})
