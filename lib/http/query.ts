import { z } from 'zod'

/** What OpenAPI shows instead of the text that a query parameter comes as. */
function shown(schema: Record<string, unknown>) {
  return ({ jsonSchema }: { jsonSchema: object }): void => {
    for (const key of Object.keys(jsonSchema)) Reflect.deleteProperty(jsonSchema, key)
    Object.assign(jsonSchema, schema)
  }
}

/** A whole number in a query parameter. (z.coerce would take '' for 0.) */
export function wholeNumber(bounds: { min: number; max: number }) {
  return z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(bounds.min).max(bounds.max))
    .meta({ override: shown({ type: 'integer', minimum: bounds.min, maximum: bounds.max }) })
}

/** Values separated by commas, or the parameter repeated, each checked; at most 50. */
export function commaList<Item extends z.ZodType<unknown, string>>(item: Item) {
  return z
    .union([z.string(), z.array(z.string())])
    .transform((given) => (typeof given === 'string' ? given : given.join(',')).split(',').filter((part) => part !== ''))
    .pipe(z.array(item).max(50))
    .meta({ override: shown({ type: 'string' }), description: 'Values separated by commas' })
}

/** The parameters of every list: at most 200 rows (default 50) and where to go on. */
export const pageQuery = {
  limit: wholeNumber({ min: 1, max: 200 })
    .default(50)
    .meta({ description: 'Rows at most; 50 unless said. A page of large rows ends at about 4 MB: nextCursor tells whether there is more' }),
  cursor: z.string().min(1).max(1_000).optional(),
}
