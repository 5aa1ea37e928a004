import { z } from 'zod'
import { approvalStates, type ApprovalView, type DecideRequest } from '#lib/core/approvals'
import { BatonError } from '#lib/core/errors'
import type { Store } from '#lib/core/pages'
import { parseSafely } from '#lib/core/parse'
import type { Authority, Refusal, RunView } from '#lib/core/store'
import { json, runBody } from '#lib/api/answers'
import { decodeCursor, encodeCursor } from '#lib/api/cursor'
import { endpoint } from '#lib/api/endpoint'
import { listing, mostBytes } from '#lib/api/listing'
import { agentParams, idParams, page, range } from '#lib/api/schemas'
import { authorityOf } from '#lib/api/scope'
import { unreadRun } from '#lib/api/unread'
import { tellWatchers } from '#lib/api/watchers'
import { fingerprintOf, inputHash } from '#lib/engine/fingerprint'
import { refusalError } from '#lib/engine/open'
import { jsonBytes } from '#lib/core/window'
import type { Services } from '#lib/services'

/** The body of a decision. */
const decisionBody = z
  .strictObject({
    decision: z.enum(['allow', 'deny']),
    /** Replaces the input of the call; only with allow. */
    input: z.json().optional(),
    note: z.string().max(2_000).optional(),
    /** Allow this tool for this agent from now on; only with allow. */
    always: z.boolean().optional(),
  })
  .refine((body) => body.decision === 'allow' || (body.input === undefined && body.always !== true), {
    message: 'input and always go with decision allow only',
  })

/** GET /api/approvals: the inbox, oldest first, the newest last. */
export const listApprovals = endpoint({
  method: 'GET',
  path: '/api/approvals',
  summary: 'Approvals, oldest first; ?state=pending is the inbox',
  query: z.object({
    ...page,
    ...range,
    state: z.enum(approvalStates).optional(),
    agent: agentParams.shape.id.optional(),
    run: z.string().max(100).optional(),
    tool: z.string().max(64).optional(),
  }),
  async handler({ services, query, caller }) {
    const { limit, cursor, run: runId, ...filters } = query
    const after = cursor === undefined ? null : decodeCursor('approvals', cursor)
    const answer = await services.store.listApprovals(authorityOf(services, caller), { limit, bytes: mostBytes, after, runId, ...filters })
    if (!answer.ok) throw refusalError(answer)
    const { data, nextCursor } = listing(answer.data, limit, ({ id }) => encodeCursor('approvals', id), answer.more)
    return json(200, { data: data.map(approvalBody), nextCursor })
  },
})

/** GET /api/approvals/{id} */
export const getApproval = endpoint({
  method: 'GET',
  path: '/api/approvals/{id}',
  summary: 'Read an approval',
  params: idParams,
  async handler({ services, params, caller }) {
    const answer = await services.store.getApproval(authorityOf(services, caller), params.id)
    if (!answer.ok) throw refusalError(answer)
    return json(200, approvalBody(answer.approval))
  },
})

/** POST /api/approvals/{id}: counts once. The same decision again is answered as the first was, another is 409. */
export const decideApproval = endpoint({
  method: 'POST',
  path: '/api/approvals/{id}',
  summary: 'Decide about a tool call; the run goes on when nothing is left to decide',
  params: idParams,
  userFields: ['decision', 'input', 'note'],
  body: decisionBody,
  async handler({ services, params, body, caller }) {
    const authority = authorityOf(services, caller)
    const known = await services.store.getApproval(authority, params.id, true)
    if (!known.ok) throw refusalError(known)
    const answer = await decideOne(services, authority, known.approval, body)
    const run = runBody(answer.mayRead ? answer.run : unreadRun(answer.run))
    return json(200, { ...approvalBody(answer.approval), replayed: answer.replayed, run })
  },
})

type Deciding = Pick<Services, 'config' | 'redact' | 'dispatch' | 'live' | 'templates'>

/** Decides about one call by the caller's authority and sends on what follows from it. Throws BatonError already_decided, too_late, ... */
export async function decideOne(
  services: Deciding & { store: Pick<Store, 'decide'> },
  authority: Authority,
  approval: ApprovalView,
  body: z.output<typeof decisionBody>,
): Promise<{ approval: ApprovalView; replayed: boolean; run: RunView; mayRead: boolean }> {
  const answer = await services.store.decide(authority, await checkedDecision(services, approval, body))
  if (!answer.ok) throw refusedDecision(services, answer)
  services.dispatch(answer.outbox)
  tellWatchers(services, answer.run, answer.epoch)
  return answer
}

/** What is allowed must fit the tool as it is deployed now; it is looked at once more before it runs. Throws BatonError. */
async function checkedDecision(services: Deciding, approval: ApprovalView, body: z.output<typeof decisionBody>): Promise<DecideRequest> {
  const { decision, input, note, always } = body
  if (always === true && approval.kind === 'unknown_outcome') {
    throw new BatonError('validation', 'always is about asks of the rules; here it is asked what becomes of one call. Nothing was decided.')
  }
  const request: DecideRequest = {
    approvalId: approval.id,
    decision,
    ...(note === undefined ? {} : { note: services.redact(note) }),
    ...(always === undefined ? {} : { always }),
  }
  const shownInput = services.redact(input)
  const edited = input === undefined ? {} : { input, inputHash: inputHash(input), ...(Object.is(shownInput, input) ? {} : { shownInput }) }
  if (decision === 'deny' || approval.state !== 'pending') return { ...request, ...edited }
  const tool = services.templates.get(approval.template)?.tools?.find((candidate) => candidate.name === approval.tool)
  if (tool === undefined) {
    if (input === undefined) return request
    throw new BatonError(
      'conflict',
      `The tool ${approval.tool} is not deployed, so an edited input cannot be checked; nothing was decided.`,
    )
  }
  const fingerprint = fingerprintOf(tool)
  if (input !== undefined && jsonBytes(input) > services.config.maxMessageBytes) {
    throw new BatonError('body_too_large', `An input may have ${services.config.maxMessageBytes} bytes; nothing was decided.`)
  }
  if (input !== undefined || fingerprint !== approval.fingerprint) {
    const checked = await parseSafely(tool.input, input === undefined ? approval.input : input)
    if (!checked.success) {
      const problems = checked.error.issues.map((issue) => ({
        in: 'body',
        path: `/input${issue.path.map((key) => `/${String(key)}`).join('')}`,
        message: issue.message,
      }))
      const why =
        input === undefined
          ? `The tool ${tool.name} has changed since, and the input no longer fits it: edit the input or deny.`
          : 'The input does not fit the tool.'
      throw new BatonError(input === undefined ? 'conflict' : 'validation', `${why} Nothing was decided.`, { problems })
    }
  }
  return { ...request, ...edited, fingerprint }
}

function refusedDecision(services: Deciding, refusal: Refusal): BatonError {
  const { outbox, ...rest } = refusal
  // A decision that came too late has applied the default: what that wrote is sent on.
  if (Array.isArray(outbox)) services.dispatch(outbox)
  if (refusal.code === 'already_decided' && refusal['state'] === 'cancelled') {
    const { ok: _ok, code: _code, ...details } = rest
    return new BatonError(
      'already_decided',
      'The run ended before anybody decided, so the approval was cancelled; nothing was changed.',
      details,
    )
  }
  return refusalError({ ...rest, ok: false, code: refusal.code })
}

function approvalBody(approval: ApprovalView): Record<string, unknown> {
  const { fingerprint: _internal, ...shown } = approval
  return shown
}
