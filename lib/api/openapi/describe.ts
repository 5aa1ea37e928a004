import { z } from 'zod'
import type { ErrorCode } from '#lib/core/errors'
import type { Endpoint } from '#lib/http/endpoint'
import type { Services } from '#lib/services'

/** What one status answers with: the schema by media type with an example, or nothing but a sentence. */
export interface Answer {
  description: string
  content: Readonly<Record<string, { schema: z.ZodType; example?: unknown }>>
  /** Names of response headers of lib/api/openapi/headers.ts beside those that every answer has. */
  headers: readonly ResponseHeader[]
}

/** Request headers that an endpoint looks at, beside those of every request. */
export type RequestHeader = 'Idempotency-Key' | 'If-Match' | 'If-None-Match' | 'Last-Event-ID' | 'Prefer'
/** Response headers that an answer may have, beside those of every answer. */
export type ResponseHeader = 'ETag' | 'Idempotent-Replayed' | 'Location' | 'Preference-Applied' | 'Retry-After' | 'X-Baton-Agent-Uid'

/** One operation of the document: an endpoint value and what it answers. */
export interface Operation {
  endpoint: Endpoint<Services>
  answers: Readonly<Record<number, Answer>>
  /** Beside those that follow from the endpoint itself (lib/api/openapi/problems.ts). */
  problems: readonly ErrorCode[]
  headers: readonly RequestHeader[]
  /** Query parameters whose names the caller makes: all that begin so. */
  prefixed?: { prefix: string; description: string }
  /** How a dialect refuses, where it does not by problem documents. */
  refusal?: { content: Answer['content']; alsoStatuses?: readonly number[] }
  /** Of the request's body. */
  example?: unknown
  description?: string
}

/** Operations that belong together, by operation id. */
export interface Resource {
  tag: string
  description: string
  operations: Readonly<Record<string, Operation>>
}

/** An operation; what is left out is empty. */
export function operation(
  endpoint: Endpoint<Services>,
  answers: Operation['answers'],
  more: Partial<Omit<Operation, 'endpoint' | 'answers'>> = {},
): Operation {
  return { endpoint, answers, problems: [], headers: [], ...more }
}

/** JSON; the example must be one that the schema could answer with. */
export function json<Schema extends z.ZodType>(
  schema: Schema,
  description: string,
  example: z.input<Schema>,
  headers: readonly ResponseHeader[] = [],
): Answer {
  return { description, content: { 'application/json': { schema, example } }, headers }
}

/** No body. */
export function nothing(description: string, headers: readonly ResponseHeader[] = []): Answer {
  return { description, content: {}, headers }
}

/** A page of rows with the cursor of the next. */
export function page<Row extends z.ZodType>(id: string, row: Row, description: string, ...examples: z.input<Row>[]): Answer {
  const schema = z
    .object({ data: z.array(row), nextCursor: z.string().nullable().meta({ description: 'Null on the last page' }) })
    .meta({ id })
  return { description, content: { 'application/json': { schema, example: { data: examples, nextCursor: null } } }, headers: [] }
}

/** The same answer with another media type beside: a stream's schema is that of one of its frames or lines. */
export function orElse<Schema extends z.ZodType>(answer: Answer, mediaType: string, schema: Schema, example: z.input<Schema>): Answer {
  return { ...answer, content: { ...answer.content, [mediaType]: { schema, example } } }
}
