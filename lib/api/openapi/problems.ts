import { z } from 'zod'
import { errorTable, isErrorCode } from '#lib/core/errors'
import type { ErrorCode } from '#lib/core/errors'
import type { Operation } from '#lib/api/openapi/describe'

const codes = Object.keys(errorTable).filter(isErrorCode)

/** RFC 9457 with Baton's fields; errors add fields of their own. */
export const problem = z
  .looseObject({
    type: z.string().meta({ description: 'Where the code is explained: /docs/errors#code' }),
    title: z.string(),
    status: z.int(),
    detail: z.string().meta({ description: 'What happened, what was kept and what to do' }),
    instance: z.string(),
    code: z.enum(codes),
    requestId: z.string(),
    retryable: z.boolean().meta({ description: 'Whether the same request may succeed later' }),
  })
  .meta({ id: 'Problem' })

/** Whatever is asked for, these may be answered. */
const always: readonly ErrorCode[] = ['internal_error', 'corrupted_data', 'database_unavailable', 'not_configured']
const ofCaller: readonly ErrorCode[] = [
  'unauthorized',
  'forbidden',
  'tenant_missing',
  'rate_limited',
  'access_control_missing',
  'sign_in_unavailable',
]
const ofBody: readonly ErrorCode[] = ['malformed_json', 'body_too_large', 'unsupported_media_type']

/** The codes that an operation may answer with: those that follow from its endpoint, and its own. */
export function codesOf({ endpoint, problems }: Pick<Operation, 'endpoint' | 'problems'>): ErrorCode[] {
  const found = new Set<ErrorCode>([
    ...always,
    'validation',
    ...(endpoint.access === 'open' || endpoint.access === 'status' ? [] : ofCaller),
    ...(endpoint.body === null ? [] : ofBody),
    // Who writes may have to wait for others, and may name an entity tag: they are not compared.
    ...(endpoint.method === 'GET' ? [] : (['idempotency_busy', 'precondition_failed'] as const)),
    ...('cursor' in endpoint.query.shape ? (['invalid_cursor'] as const) : []),
    ...problems,
  ])
  return codes.filter((code) => found.has(code))
}

/** Codes by the status that they answer with. */
export function byStatus(of: readonly ErrorCode[]): Map<number, ErrorCode[]> {
  const statuses = new Map<number, ErrorCode[]>()
  for (const code of of) {
    const [status] = errorTable[code]
    statuses.set(status, [...(statuses.get(status) ?? []), code])
  }
  return statuses
}

/** A problem document of one of the codes. */
export function exampleProblem(code: ErrorCode): z.input<typeof problem> {
  const [status, title, retryable] = errorTable[code]
  return {
    type: `/docs/errors#${code}`,
    title,
    status,
    detail: `${title}.`,
    instance: '/api/agents/support-4711',
    code,
    requestId: 'req_01936f1e5a7d7e61b2d0c4a9f8e70004',
    retryable,
  }
}
