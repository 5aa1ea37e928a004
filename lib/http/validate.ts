import { z } from 'zod'
import { BatonError, isErrorCode } from '#lib/core/errors'
import type { ErrorCode } from '#lib/core/errors'
import { pointerToken } from '#lib/http/json'

/** One thing wrong with a request: where (JSON Pointer inside its part), what, and what would be right. */
export interface FieldProblem {
  in: 'path' | 'query' | 'header' | 'body'
  path: string
  message: string
  allowed?: string[]
  /** A code more telling than `validation`, set by a schema: `.refine(check, {params: {code: 'invalid_agent_id'}})`. */
  code?: ErrorCode
}

/** What is said of a field that the schema does not have. */
export const unknownField = 'is not a known field'

/** Problems that one answer lists; the rest are counted. */
const maxProblems = 100

/** Checks one part of a request; pushes all its problems. Answers undefined (with problems pushed) when it is not valid. */
export function check<Schema extends z.ZodType>(
  part: FieldProblem['in'],
  schema: Schema,
  value: unknown,
  problems: FieldProblem[],
): { value: z.output<Schema> } | undefined {
  const result = schema.safeParse(value)
  if (result.success) return { value: result.data }
  for (const issue of result.error.issues) problems.push(...problemsOf(part, schema, issue, []))
  return undefined
}

/** Throws the one error for all problems: BatonError validation, or the more telling code where all share it. */
export function refuse(problems: readonly FieldProblem[]): never {
  const [first] = problems
  const code = first?.code !== undefined && problems.every((problem) => problem.code === first.code) ? first.code : 'validation'
  const listed = problems.slice(0, maxProblems).map(({ code: _code, ...problem }) => problem)
  const sentences = listed
    .slice(0, 5)
    .map((problem) => `${problem.in} ${problem.path === '' ? '(whole)' : problem.path}: ${problem.message}`)
  const more = problems.length > sentences.length ? `; and ${problems.length - sentences.length} more` : ''
  throw new BatonError(code, `The request is not valid. ${sentences.join('; ')}${more}.`, {
    problems: listed,
    ...(problems.length > maxProblems ? { problemsLeftOut: problems.length - maxProblems } : {}),
  })
}

type Issue = z.core.$ZodIssue

function problemsOf(part: FieldProblem['in'], schema: z.ZodType, issue: Issue, prefix: readonly PropertyKey[]): FieldProblem[] {
  const keys = [...prefix, ...issue.path]
  const path = keys.map((key) => `/${pointerToken(key)}`).join('')
  if (issue.code === 'unrecognized_keys') {
    const allowed = fieldsAt(schema, keys)
    return issue.keys.map((key) => ({
      in: part,
      path: `${path}/${pointerToken(key)}`,
      message: unknownField,
      ...(allowed === null ? {} : { allowed }),
    }))
  }
  if (issue.code === 'invalid_union') {
    // The form that the caller meant is the one whose own kind fits: its problems say more than "no form matches".
    const meant = issue.errors.filter(
      (branch) => branch.length > 0 && branch.every((inner) => inner.path.length > 0 || inner.code === 'unrecognized_keys'),
    )
    const [branch] = meant.toSorted((left, right) => left.length - right.length)
    if (branch !== undefined) return branch.flatMap((inner) => problemsOf(part, schema, inner, keys))
    const allowed = [...new Set(issue.errors.flat().flatMap((inner) => allowedBy(inner) ?? []))]
    return [{ in: part, path, message: 'has none of the forms that are allowed', ...(allowed.length === 0 ? {} : { allowed }) }]
  }
  const allowed = allowedBy(issue)
  const named = issue.code === 'custom' ? issue.params?.['code'] : undefined
  const code = typeof named === 'string' && isErrorCode(named) ? named : undefined
  return [{ in: part, path, message: issue.message, ...(allowed === null ? {} : { allowed }), ...(code === undefined ? {} : { code }) }]
}

function allowedBy(issue: Issue): string[] | null {
  switch (issue.code) {
    case 'invalid_type':
      return [issue.expected]
    case 'invalid_value':
      return issue.values.map(String)
    case 'too_big':
      return [`at most ${issue.maximum}`]
    case 'too_small':
      return [`at least ${issue.minimum}`]
    case 'not_multiple_of':
      return [`multiples of ${issue.divisor}`]
    case 'invalid_format':
      return [issue.pattern ?? issue.format]
    default:
      return null
  }
}

/** The names of the fields that the schema knows at a place, or null where that cannot be said. */
function fieldsAt(schema: z.core.$ZodType, keys: readonly PropertyKey[]): string[] | null {
  const [key, ...rest] = keys
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault
  ) {
    return fieldsAt(schema.def.innerType, keys)
  }
  if (schema instanceof z.ZodObject) {
    if (key === undefined) return Object.keys(schema.shape)
    const inner: z.core.$ZodType | undefined = schema.shape[String(key)]
    return inner === undefined ? null : fieldsAt(inner, rest)
  }
  if (schema instanceof z.ZodArray && key !== undefined) return fieldsAt(schema.element, rest)
  return null
}

/**
 * The same schema with its outermost object refusing unknown fields, where it does not say itself what it does with them.
 * Throws a TypeError when an object further in would drop unknown fields in silence: write z.strictObject or z.looseObject there.
 */
export function strictly<Schema extends z.ZodType>(schema: Schema, name: string): Schema {
  const strict = strictOutside(schema)
  const silent = [...silentObjects(strict, '', new Set())]
  if (silent.length > 0)
    throw new TypeError(`${name}: these objects drop unknown fields in silence: ${silent.join(', ')}; use z.strictObject or z.looseObject`)
  return strict
}

function strictOutside<Schema extends z.ZodType>(schema: Schema): Schema {
  if (!(schema instanceof z.ZodObject) || schema.def.catchall !== undefined) return schema
  // .strict() changes what is refused, never the type of what comes out.
  return schema.strict() as z.ZodType as Schema
}

/** The places of objects that drop unknown fields. By hand, because z.toJSONSchema costs over a millisecond for each schema at a cold start. */
function* silentObjects(part: unknown, path: string, seen: Set<unknown>): Generator<string> {
  if (typeof part !== 'object' || part === null || seen.has(part)) return
  seen.add(part)
  if (part instanceof z.ZodObject) {
    if (part.def.catchall === undefined) yield path === '' ? '/' : path
    for (const [key, field] of Object.entries(part.shape)) yield* silentObjects(field, `${path}/${key}`, seen)
  } else if (part instanceof z.ZodType) {
    // Whatever the kind: the schemas that it is made of are values of its definition, or lie in lists there.
    for (const [name, inner] of Object.entries(part.def)) {
      if (Array.isArray(inner)) for (const [index, item] of inner.entries()) yield* silentObjects(item, `${path}/${name}/${index}`, seen)
      else yield* silentObjects(inner, name === 'innerType' ? path : `${path}/${name}`, seen)
    }
  }
}
