import type { ZodOpenApiOverrideContext } from 'zod-openapi'

/**
 * What the document says where zod's own words would mislead its readers: any JSON is `{}` instead of a recursive union, objects of
 * answers stay open, for fields are only ever added to them, and what every JSON number or date-time is goes without saying.
 */
export function plain({ zodSchema, jsonSchema, io }: ZodOpenApiOverrideContext): void {
  const { def } = zodSchema._zod
  if (def.type === 'lazy') for (const key of Object.keys(jsonSchema)) Reflect.deleteProperty(jsonSchema, key)
  if (io === 'output' && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum
  if (jsonSchema.format !== undefined) delete jsonSchema.pattern
}

const anonymous = '#/components/schemas/__schema'

/** The same with schemas that have no name of their own put in place of the references to them: they are the `{}` of above. */
export function withoutAnonymous<Part>(part: Part): Part {
  return JSON.parse(
    JSON.stringify(part, (key, value: unknown) => {
      if (key.startsWith('__schema')) return undefined
      if (typeof value !== 'object' || value === null || !('$ref' in value)) return value
      const { $ref, ...rest } = value
      return typeof $ref === 'string' && $ref.startsWith(anonymous) ? rest : value
    }),
  ) as Part
}
