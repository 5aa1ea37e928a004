import { describe, expect, it } from 'vitest'
import { filterExpression, keyExpression } from '#local/executor/expressions'

const input = { event: { data: { x: 'one', n: 7, deep: { flag: true } }, name: 'a' } }

describe('keyExpression', () => {
  it.each([
    ['event.data.x', 'one'],
    ['event.data.n', '7'],
    ['event.data.absent', ''],
    ['event.data.x.length', ''],
    ['event.data.constructor', ''],
    ['"everybody"', 'everybody'],
    [`event.data.x + ":+" + event.data.n`, 'one:+7'],
  ])('%s is %s', (text, value) => expect(keyExpression(text)?.(input)).toBe(value))

  it.each(['event.data["x"]', 'x', 'event.data.x ? "a" : "b"', 'size(event.data.x)', '"open', ''])('does not know %s', (text) =>
    expect(keyExpression(text)).toBeNull(),
  )
})

describe('filterExpression', () => {
  it.each([
    [`event.data.x == 'one'`, true],
    [`event.data.x == "two"`, false],
    [`event.data.n == 7 && event.data.deep.flag == true`, true],
    [`event.data.n == 7 && event.data.deep.flag != true`, false],
    [`event.data.x != 'a && b'`, true],
  ])('%s is %s', (text, value) => expect(filterExpression(text)?.(input)).toBe(value))

  it.each([`event.data.x`, `event.data.n > 3`, `event.data.x == 'a' || event.data.x == 'b'`, `a == b == c`])('does not know %s', (text) =>
    expect(filterExpression(text)).toBeNull(),
  )
})
