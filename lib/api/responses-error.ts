import type { ProblemDocument, ShapeError } from '#lib/http/problem'
import { unknownField } from '#lib/http/validate'
import { responseIdOf } from '#lib/api/responses-object'

/** Codes that OpenAI's clients know under another name, and the status that goes with it where it is another one. */
const known: Partial<Record<ProblemDocument['code'], { code: string; param?: string; status?: number }>> = {
  unauthorized: { code: 'invalid_api_key' },
  rate_limited: { code: 'rate_limit_exceeded' },
  template_unknown: { code: 'model_not_found', param: 'model', status: 404 },
  template_required: { code: 'missing_required_parameter', param: 'model' },
  invalid_agent_id: { code: 'invalid_value', param: 'conversation' },
  body_too_large: { code: 'body_too_large', param: 'input' },
  run_not_found: { code: 'response_not_found', param: 'response_id' },
  agent_not_found: { code: 'response_not_found', param: 'response_id' },
  not_last_run: { code: 'not_last_response', param: 'previous_response_id' },
  agent_busy: { code: 'conversation_busy', param: 'previous_response_id' },
  invalid_cursor: { code: 'invalid_starting_after', param: 'starting_after' },
  cursor_expired: { code: 'starting_after_expired', param: 'starting_after' },
}

interface Problem {
  in: string
  path: string
  message: string
}

/** Wrong values that ask for something which this dialect does not do. */
const unsupportedValues: ReadonlySet<string> = new Set(['/store'])

/** `input[0].content`, as OpenAI names a place, from a JSON Pointer. */
export function paramOf(pointer: string): string {
  const [first = '', ...rest] = pointer
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
  return rest.reduce((path, token) => (/^\d+$/.test(token) ? `${path}[${token}]` : `${path}.${token}`), first)
}

function typeOf(status: number): string {
  if (status === 402) return 'insufficient_quota'
  if (status === 403) return 'permission_error'
  if (status === 429) return 'rate_limit_error'
  return status >= 500 ? 'server_error' : 'invalid_request_error'
}

/** The first problem of a request that is not valid: OpenAI's shape has room for one. */
function invalid(problem: ProblemDocument): { message: string; param: string; code: string } | null {
  const [first] = Array.isArray(problem['problems']) ? (problem['problems'] as Problem[]) : []
  if (first === undefined) return null
  const param = paramOf(first.path)
  if (first.message === unknownField || unsupportedValues.has(first.path))
    return { message: `Unsupported parameter: '${param}' is not supported here.`, param, code: 'unsupported_parameter' }
  return { message: `Invalid '${param}': ${first.message}.`, param, code: 'invalid_value' }
}

/** An error in the shape that OpenAI's clients read: `{error: {message, type, param, code}}`, with what Baton says besides. */
export const openaiError: ShapeError = (problem) => {
  const { code: ours, detail, requestId, runId, needed, lastRunId } = { ...problem } as ProblemDocument & Record<string, unknown>
  const named = known[ours]
  const status = named?.status ?? problem.status
  const told = ours === 'validation' ? invalid(problem) : null
  const param = told?.param ?? (typeof problem['param'] === 'string' ? problem['param'] : (named?.param ?? null))
  const code = told?.code ?? (typeof problem['openaiCode'] === 'string' ? problem['openaiCode'] : (named?.code ?? ours))
  const error = {
    message: told?.message ?? detail,
    type: typeOf(status),
    param,
    code,
    request_id: requestId,
    ...(typeof runId === 'string' ? { response_id: responseIdOf(runId) } : {}),
    ...(typeof lastRunId === 'string' ? { last_response_id: responseIdOf(lastRunId) } : {}),
    ...(needed === undefined ? {} : { needed }),
  }
  return { body: { error }, status }
}
