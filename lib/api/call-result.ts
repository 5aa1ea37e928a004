import { z } from 'zod'
import { BatonError } from '#lib/core/errors'
import type { Store } from '#lib/core/pages'
import { parseSafely } from '#lib/core/parse'
import type { ToolCall, ToolOutput } from '#lib/core/run'
import type { Authority, RunView } from '#lib/core/store'
import { json } from '#lib/api/answers'
import { endpoint } from '#lib/api/endpoint'
import { idParams } from '#lib/api/schemas'
import { tellWatchers } from '#lib/api/watchers'
import { refusalError } from '#lib/engine/open'
import { cut, outputOf } from '#lib/engine/output'
import { verifyCallToken } from '#lib/http/token'
import { refuse } from '#lib/http/validate'
import type { Services } from '#lib/services'

/** What the outside sends: a result, or why there is none. */
const resultBody = z
  .strictObject({ output: z.json().optional(), error: z.json().optional() })
  .refine((body) => (body.output === undefined) !== (body.error === undefined), { message: 'send either output or error' })

/** POST /api/tool-calls/{id}/result?token=: the address of one call is its credential, and good for one result. */
export const giveResult = endpoint({
  method: 'POST',
  path: '/api/tool-calls/{id}/result',
  summary: 'The result of an external tool call; the token in the address is the credential, and counts once',
  access: 'open',
  params: idParams,
  query: z.object({ token: z.string().max(4_096) }),
  body: resultBody,
  async handler({ services, params, query, body, requestId }) {
    const claims = await verifyCallToken(query.token, services.config.encryptionKey)
    if (claims.callId !== params.id) throw new BatonError('unauthorized', 'The token is for another tool call; nothing was done.')
    const { call, run } = await storeResult(services, claims, body, requestId)
    return json(200, { callId: call.callId, state: call.state, runId: run.id })
  },
})

/** A result from outside, or why there is none. */
export type Result = z.output<typeof resultBody>

type Outside = Pick<Services, 'config' | 'redact' | 'dispatch' | 'live' | 'templates'>

/** The call that a result is for. */
type Call = Pick<Awaited<ReturnType<typeof verifyCallToken>>, 'agentUid' | 'callId' | 'template' | 'tool'>

/**
 * Keeps the one result of a call that waits outside. Who brings it stands behind the call's own address, or has an `authority` that may
 * run the agent. Throws BatonError call_not_found, already_decided, too_late, validation.
 */
export async function storeResult(
  services: Outside & { store: Pick<Store, 'callResult'> },
  { agentUid, callId, template, tool }: Call,
  body: Result,
  requestId: string,
  authority?: Authority,
): Promise<{ call: ToolCall; run: RunView }> {
  if (body.error === undefined) await check(services, { template, tool }, body.output)
  const output = keptOutput(services, body)
  const shownOutput = services.redact(output)
  const answer = await services.store.callResult({
    environment: services.config.environment,
    ...authority,
    agentUid,
    callId,
    state: body.error === undefined ? 'completed' : 'failed',
    output,
    ...(Object.is(shownOutput, output) ? {} : { shownOutput }),
    requestId,
  })
  if (!answer.ok) {
    const { outbox, ...refusal } = answer
    if (Array.isArray(outbox)) services.dispatch(outbox)
    throw refusalError({ ...refusal, ok: false, code: answer.code })
  }
  services.dispatch(answer.outbox)
  tellWatchers(services, answer.run, answer.epoch)
  return answer
}

/** A result from outside fits what the tool says of its output, where it says so. Throws BatonError validation. */
async function check(services: Outside, claims: { template: string; tool: string }, output: unknown): Promise<void> {
  const tool = services.templates.get(claims.template)?.tools?.find((candidate) => candidate.name === claims.tool)
  const parsed = tool?.output === undefined ? undefined : await parseSafely(tool.output, output)
  if (parsed !== undefined && !parsed.success) {
    refuse(
      parsed.error.issues.map((issue) => ({
        in: 'body' as const,
        path: `/output${issue.path.map((key) => `/${String(key)}`).join('')}`,
        message: issue.message,
      })),
    )
  }
}

/** What is kept of a result. */
export function keptOutput({ config }: Pick<Services, 'config'>, { output, error }: Result): ToolOutput {
  return cut(error === undefined ? outputOf(output) : errorOutput(error), config.maxResultBytes)
}

function errorOutput(error: Result['error']): ToolOutput {
  return typeof error === 'string' ? { type: 'error-text', value: error } : { type: 'error-json', value: error ?? null }
}
