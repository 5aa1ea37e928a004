import { BatonError } from '#lib/core/errors'
import type { ApprovalView } from '#lib/core/approvals'
import type { AgentView, StoredEvent } from '#lib/core/pages'
import type { RunId } from '#lib/core/ids'
import type { ToolCall } from '#lib/core/run'
import type { RunView } from '#lib/core/store'
import { decideOne } from '#lib/api/approvals'
import { keptOutput, storeResult, type Result } from '#lib/api/call-result'
import type { Answers } from '#lib/api/chat-body'
import { mostBytes } from '#lib/api/listing'
import { authorityOf, requireAgent, requireRun } from '#lib/api/scope'
import { cursorProblem } from '#lib/api/stream'
import type { Services } from '#lib/services'
import { refusalError } from '#lib/engine/open'
import type { Caller } from '#lib/http/caller'
import { canonicalJson } from '#lib/http/json'

const pageSize = 200
/** Approvals are read one by one, so many at once: a client may name thousands, and the first that is none of its own ends it. */
const mostAtOnce = 20

/** A run that goes on after an answer, and the number of the last event before what the answer has changed. */
export interface Continued {
  agent: AgentView
  run: RunView
  after: number
}

/**
 * Takes what a client says in answer to a pause: decisions by the caller's right to decide, results of calls that wait outside by its right to
 * run the agent. All is checked before anything is done; what a client says of any other call is not looked at. Throws BatonError.
 */
export async function answerPause(services: Services, caller: Caller, chatId: string, answers: Answers): Promise<Continued> {
  const authority = authorityOf(services, caller)
  const agent = await requireAgent(services, caller, chatId)
  const approvals = await askedFor(services, caller, agent, answers)
  const { waiting: outside, ended } = await outsideOf(services, agent, [...answers.outputs.keys()])
  const runIds = new Set([...approvals.map(({ approval }) => approval.runId), ...outside.map((call) => call.runId)])
  const [runId] = runIds
  const repeated = runId === undefined ? await repeatedOf(services, caller, agent, ended, answers) : null
  if (repeated !== null) return repeated
  if (runId === undefined || runIds.size > 1) {
    throw new BatonError(
      'conflict',
      'Nothing in the last message answers what this chat waits for now; nothing was done. Load the messages again.',
    )
  }
  const after = await beganAt(services, agent, runId, { approvalId: approvals[0]?.approval.id })
  let run: RunView | null = null
  for (const { approval, approved, reason } of approvals) {
    const body = { decision: approved ? ('allow' as const) : ('deny' as const), ...(reason === undefined ? {} : { note: reason }) }
    run = (await decideOne(services, authority, approval, body)).run
  }
  for (const call of outside) run = (await resultOf(services, caller, agent, call, answers)).run
  if (run === null) throw new BatonError('conflict', 'Nothing was answered.')
  return { agent, run, after }
}

/** The approvals that are answered, each known, of this chat, and open or decided the same way. Throws before anything is decided. */
async function askedFor(
  services: Services,
  caller: Caller,
  agent: AgentView,
  answers: Answers,
): Promise<Awaited<ReturnType<typeof openOrAlike>>[]> {
  const byId = new Map<string, Answers['approvals'][number]>()
  for (const answer of answers.approvals) {
    if (byId.has(answer.id) && byId.get(answer.id)?.approved !== answer.approved)
      throw new BatonError('conflict', `The last message both allows and denies the approval ${answer.id}; nothing was done.`)
    byId.set(answer.id, answer)
  }
  const asked = [...byId.values()]
  const found: Awaited<ReturnType<typeof openOrAlike>>[] = []
  for (let at = 0; at < asked.length; at += mostAtOnce) {
    const some = asked.slice(at, at + mostAtOnce)
    found.push(...(await Promise.all(some.map((answer) => openOrAlike(services, caller, agent, answer)))))
  }
  return found
}

async function openOrAlike(
  services: Services,
  caller: Caller,
  agent: AgentView,
  { id, approved, reason }: Answers['approvals'][number],
): Promise<{ approval: ApprovalView; approved: boolean; reason: string | undefined }> {
  const known = await services.store.getApproval(authorityOf(services, caller), id, true)
  if (!known.ok) throw refusalError(known)
  const { approval } = known
  if (approval.agentUid !== agent.agentUid) throw refusalError({ ok: false, code: 'approval_not_found' })
  if (approval.state !== 'pending' && approval.state !== (approved ? 'allowed' : 'denied')) {
    throw refusalError({ ok: false, code: 'already_decided', approvalId: id, state: approval.state, runId: approval.runId })
  }
  return { approval, approved, reason }
}

type CallRow = ToolCall & Record<string, unknown>

/** Of the calls that are named those that the outside answers: all that wait, and the newest that has its result. A client may name thousands. */
async function outsideOf(
  { store }: Services,
  { agentUid }: AgentView,
  callIds: readonly string[],
): Promise<{ waiting: CallRow[]; ended: CallRow | null }> {
  const waiting: CallRow[] = []
  let ended: CallRow | null = null
  for (let after: string | null = null; callIds.length > 0;) {
    const page = await store.listToolCalls({ agentUid, callIds, limit: pageSize, bytes: mostBytes, after })
    for (const call of page.data) {
      if (call.state === 'waiting_external') waiting.push(call)
      const isEnded = call.effect === 'external' && (call.state === 'completed' || call.state === 'failed')
      if (isEnded && (ended === null || String(call['endedAt']) >= String(ended['endedAt']))) ended = call
    }
    if (!page.more) break
    after = page.data.at(-1)?.callId ?? after
  }
  return { waiting, ended }
}

/** What came of the result `last`, where it is what was given before, for a caller who lost the reply: it stands as it is told now. Else null. */
async function repeatedOf(
  services: Services,
  caller: Caller,
  agent: AgentView,
  last: CallRow | null,
  answers: Answers,
): Promise<Continued | null> {
  if (last === null) return null
  try {
    // By the same right as the first time, and checked alike.
    await resultOf(services, caller, agent, last, answers)
  } catch (error) {
    if (!(error instanceof BatonError) || error.code !== 'already_decided') throw error
  }
  if (canonicalJson(last.output) !== canonicalJson(keptOutput(services, given(answers, last)))) return null
  const after = await beganAt(services, agent, last.runId, { callId: last.callId })
  return { agent, run: (await requireRun(services, caller, last.runId)).run, after }
}

async function resultOf(services: Services, caller: Caller, agent: AgentView, call: ToolCall, answers: Answers): Promise<{ run: RunView }> {
  const of = { agentUid: agent.agentUid, callId: call.callId, template: agent.template, tool: call.name }
  return storeResult(services, of, given(answers, call), caller.requestId ?? '', authorityOf(services, caller))
}

function given({ outputs }: Answers, { callId }: ToolCall): Result {
  const result = outputs.get(callId)
  return result === undefined || 'error' in result ? { error: result?.error ?? '' } : { output: jsonOf(result.output) }
}

/** What came out of a JSON body is JSON. */
function jsonOf(value: unknown): string | number | boolean | null {
  return value as string | number | boolean | null
}

/** The pause that is answered; for a decision or a result that is repeated, the one before it was first made. */
async function beganAt(
  services: Services,
  agent: AgentView,
  runId: RunId,
  { approvalId, callId }: { approvalId?: string | undefined; callId?: string },
): Promise<number> {
  const types = ['state_changed', callId === undefined ? 'approval_decided' : 'tool_end']
  const isAnswer = ({ type, data }: StoredEvent): boolean =>
    callId === undefined
      ? type === 'approval_decided' && data['approvalId'] === approvalId
      : type === 'tool_end' && (data['call'] as ToolCall | undefined)?.callId === callId
  let pausedAt: number | null = null
  for (let after: number | null = null; ;) {
    const page = await services.store.listEvents({ agentUid: agent.agentUid, runId, after, types, limit: pageSize, bytes: mostBytes })
    if (!page.ok) throw cursorProblem(page)
    for (const event of page.data) {
      if (isAnswer(event)) return pausedAt ?? page.lastSeq
      if (event.data['state'] === 'paused') pausedAt = event.seq
    }
    if (!page.more) return pausedAt ?? page.lastSeq
    after = page.data.at(-1)?.seq ?? after
  }
}
