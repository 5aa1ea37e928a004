import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { commaList, pageQuery, wholeNumber } from '#lib/http/query'

describe('query parameters', () => {
  test('whole numbers are digits within bounds', () => {
    const schema = wholeNumber({ min: 1, max: 200 })
    expect(schema.parse('200')).toBe(200)
    for (const bad of ['', ' ', '0', '201', '1.0', '-1', '1e2', '0x1', 'Infinity', ['1']]) expect(schema.safeParse(bad).success).toBe(false)
  })

  test('lists take commas and repetition', () => {
    const schema = commaList(z.enum(['a', 'b']))
    expect(schema.parse('a,b')).toEqual(['a', 'b'])
    expect(schema.parse(['a', 'b,a'])).toEqual(['a', 'b', 'a'])
    expect(schema.safeParse('a,c').success).toBe(false)
    expect(schema.safeParse('a,'.repeat(51)).success).toBe(false)
  })

  test('pages', () => {
    expect(z.strictObject(pageQuery).parse({})).toEqual({ limit: 50 })
  })
})
