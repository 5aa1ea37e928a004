import * as ai from 'ai'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineTool } from '#lib/core/define'
import { inputSchemaOf } from '#lib/core/tool-schema'

const define = (input: z.ZodType) => defineTool({ name: 'book', description: '', input, effect: 'pure', run: () => 'ok' })
const tree: z.ZodType = z.object({
  name: z.string(),
  get children() {
    return z.array(tree)
  },
})

describe('what no JSON of a model can fit is refused when the tool is defined, with what to write instead', () => {
  const cases: [z.ZodType, string][] = [
    [z.date(), 'write z.coerce.date() or z.iso.datetime()'],
    [z.bigint(), 'no JSON is a bigint; write z.int()'],
    [z.coerce.bigint(), 'no JSON is a bigint'],
    [z.set(z.string()), 'write z.array()'],
    [z.map(z.string(), z.number()), 'write z.record()'],
    [z.custom<string>(), 'no JSON is a custom; write z.string() or z.object()'],
    [z.instanceof(URL), 'no JSON is a custom'],
    [z.undefined(), 'write .optional()'],
    [z.void(), 'write .optional()'],
    [z.nan(), 'write z.number()'],
    [z.symbol(), 'write z.string()'],
    [z.literal(1n), 'no JSON is a literal'],
    [z.transform(String), 'write z.unknown() with a transform'],
  ]
  test.each(cases)('%#', (schema, words) => {
    expect(() => define(z.object({ when: z.object({ at: schema }) }))).toThrow(TypeError)
    expect(() => define(z.object({ when: z.object({ at: schema }) }))).toThrow('tool book: input at when.at: ')
    expect(() => define(z.object({ when: z.object({ at: schema }) }))).toThrow(words)
    expect(() => define(schema)).toThrow('tool book: input: ')
  })

  test.each<[string, z.ZodType]>([
    ['a text', z.string()],
    ['a list', z.array(z.string())],
    ['anything', z.unknown()],
    ['a union', z.union([z.object({ a: z.string() }), z.object({ b: z.string() })])],
    ['a discriminated union', z.discriminatedUnion('op', [z.object({ op: z.literal('a') }), z.object({ op: z.literal('b') })])],
    ['a union with more', z.object({ a: z.string() }).and(z.union([z.object({ b: z.string() }), z.object({ c: z.string() })]))],
    ['an object or null', z.object({ a: z.string() }).nullable()],
  ])('an input that is %s, which no provider takes', (_what, schema) => {
    expect(() => define(schema)).toThrow('tool book: input is no object; write z.object({...})')
  })
})

test('a date that is made of a text is described as one', () => {
  const { properties } = inputSchemaOf(define(z.object({ at: z.coerce.date().optional(), all: z.array(z.coerce.date()) })))
  expect(properties).toEqual({
    at: { type: 'string', format: 'date-time' },
    all: { type: 'array', items: { type: 'string', format: 'date-time' } },
  })
})

test.each([
  z.object({}),
  z.strictObject({ a: z.string() }),
  z.looseObject({ a: z.string().optional() }),
  z.record(z.string(), z.int()),
  z.object({ n: z.coerce.number().default(3), kind: z.enum(['a', 'b']), either: z.union([z.string(), z.object({ x: z.int() })]) }),
  z.object({ any: z.unknown(), json: z.json(), list: z.array(z.looseObject({})), pair: z.tuple([z.string(), z.int()]) }),
  z.object({ t: z.string().transform(Number), p: z.preprocess(Number, z.number()), b: z.stringbool() }),
  z.object({ both: z.object({ a: z.string() }).and(z.object({ b: z.string() })), root: tree }),
  z.object({ d: z.codec(z.iso.datetime(), z.date(), { decode: (text) => new Date(text), encode: (date) => date.toISOString() }) }),
  z.object({ a: z.string() }).and(z.object({ b: z.string() })),
  tree,
])('everything else is described as the AI SDK describes it: %#', async (schema) => {
  expect(inputSchemaOf(define(schema))).toEqual(await ai.asSchema(schema).jsonSchema)
})
