import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { BatonError } from '#lib/core/errors'
import { check, refuse, strictly } from '#lib/http/validate'
import type { FieldProblem } from '#lib/http/validate'

function problemsWith(schema: z.ZodType, value: unknown): FieldProblem[] {
  const problems: FieldProblem[] = []
  check('body', strictly(schema, 'test'), value, problems)
  return problems
}

describe('check', () => {
  const message = z.object({
    message: z.union([z.string().max(5), z.array(z.strictObject({ type: z.enum(['text', 'file']), text: z.string() }))]),
    limits: z.strictObject({ maxSteps: z.int().min(1).max(50) }).optional(),
    onBusy: z.enum(['enqueue', 'steer']).default('enqueue'),
  })

  test('names every problem with its pointer and what is allowed', () => {
    const problems = problemsWith(message, { message: 'ok', limits: { maxSteps: 99, 'a/b~': 1 }, onBusy: 'wait', extra: 1, other: 2 })
    expect(problems.map(({ path, allowed }) => [path, allowed])).toEqual([
      ['/limits/maxSteps', ['at most 50']],
      ['/limits/a~1b~0', ['maxSteps']],
      ['/onBusy', ['enqueue', 'steer']],
      ['/extra', ['message', 'limits', 'onBusy']],
      ['/other', ['message', 'limits', 'onBusy']],
    ])
  })

  test('of a union, the form that was meant tells its problems', () => {
    expect(problemsWith(message, { message: [{ type: 'txt', text: 'x' }] })).toMatchObject([
      { path: '/message/0/type', allowed: ['text', 'file'] },
    ])
    expect(problemsWith(message, { message: 7 })).toMatchObject([{ path: '/message', allowed: ['string', 'array'] }])
  })

  test('a missing body is a problem of the whole body', () => {
    expect(problemsWith(message, undefined)).toMatchObject([{ in: 'body', path: '', allowed: ['object'] }])
  })

  test('values are never repeated', () => {
    expect(JSON.stringify(problemsWith(message, { message: 'hunter2hunter2', onBusy: 'hunter2' }))).not.toContain('hunter2')
  })
})

describe('refuse', () => {
  const thrown = (problems: FieldProblem[]): BatonError => {
    try {
      return refuse(problems)
    } catch (error) {
      if (error instanceof BatonError) return error
      throw error
    }
  }
  const one = (path: string): FieldProblem => ({ in: 'body', path, message: 'is wrong' })

  test('lists at most 100 problems and counts the rest', () => {
    const { details, message } = thrown(Array.from({ length: 130 }, (_, index) => one(`/${index}`)))
    expect(details).toMatchObject({ problemsLeftOut: 30 })
    expect(details['problems']).toHaveLength(100)
    expect(message).toContain('and 125 more')
  })

  test('takes the code of a schema only where all problems share it', () => {
    const problems: FieldProblem[] = []
    const name = z.string().refine((text) => text !== '!', { message: 'is no id', params: { code: 'invalid_agent_id' } })
    check('path', z.strictObject({ id: name }), { id: '!' }, problems)
    expect(thrown(problems)).toMatchObject({
      code: 'invalid_agent_id',
      details: { problems: [{ in: 'path', path: '/id', message: 'is no id' }] },
    })
    expect(thrown([...problems, one('/x')]).code).toBe('validation')
  })
})

describe('strictly', () => {
  test('objects that would drop unknown fields in silence are refused when the endpoint is written', () => {
    expect(() => strictly(z.object({ inner: z.object({ a: z.string() }) }), 'POST /x body')).toThrow('POST /x body')
    expect(() => strictly(z.array(z.object({ a: z.string() })), 'body')).toThrow('/element')
    expect(() => strictly(z.union([z.string(), z.object({ a: z.string() })]).optional(), 'body')).toThrow('/options/1')
    expect(() => strictly(z.record(z.string(), z.object({ a: z.string() })), 'body')).toThrow('/valueType')
    expect(strictly(z.object({ inner: z.looseObject({ a: z.string() }) }), 'body').safeParse({ inner: { a: '', b: 1 } }).success).toBe(true)
    expect(strictly(z.object({ metadata: z.record(z.string(), z.json()) }), 'body').safeParse({ metadata: { any: 1 } }).success).toBe(true)
  })

  test('an object that says what it does with unknown fields keeps saying so', () => {
    expect(strictly(z.looseObject({}), 'query').parse({ 'metadata.a': '1' })).toEqual({ 'metadata.a': '1' })
  })
})
