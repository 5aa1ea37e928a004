import { z } from 'zod'

type JsonSchema = z.core.JSONSchema.BaseSchema

/** What to write in place of a schema that no JSON of a model can ever fit. */
const instead: Readonly<Record<string, string>> = {
  date: 'z.coerce.date() or z.iso.datetime()',
  bigint: 'z.int(), or z.string() with a transform',
  set: 'z.array()',
  map: 'z.record()',
  undefined: '.optional()',
  void: '.optional()',
  nan: 'z.number()',
  symbol: 'z.string()',
  literal: 'z.literal() of a text, a number or a boolean',
  custom: 'z.string() or z.object(), with a refine or a transform',
  transform: 'z.unknown() with a transform',
}

/**
 * The JSON Schema by which a model writes the input of a tool. Throws a TypeError that names the tool, the place and what to write instead
 * where a model's JSON can never fit, or where no provider takes it.
 */
export function inputSchemaOf(tool: { name: string; input: z.ZodType }): JsonSchema {
  const given: unknown = tool.input
  if (typeof given !== 'object' || given === null || !('_zod' in given))
    throw new TypeError(`tool ${tool.name}: input is no zod schema; write z.object({...})`)
  const schema = z.toJSONSchema(tool.input, {
    target: 'draft-7',
    io: 'input',
    unrepresentable({ zodSchema: { _zod }, path }) {
      const { def } = _zod
      if (def.type === 'date' && def.coerce === true) return { type: 'string', format: 'date-time' }
      const place = path.filter((part) => part !== 'properties').join('.')
      const better = instead[def.type] ?? 'what JSON has'
      throw new TypeError(`tool ${tool.name}: input${place === '' ? '' : ` at ${place}`}: no JSON is a ${def.type}; write ${better}`)
    },
    // As the AI SDK describes zod schemas: models write only what is listed.
    override({ jsonSchema }) {
      if (jsonSchema.type === 'object' && typeof jsonSchema.additionalProperties !== 'object') jsonSchema.additionalProperties = false
    },
  })
  if (schema.type !== 'object')
    throw new TypeError(
      `tool ${tool.name}: input is no object; write z.object({...}), with a list, a text or a union as one of its members: providers take nothing else`,
    )
  return schema
}
