import { defaultApprovalMs, type ApprovalWrite } from '#lib/core/approvals'
import type { AnyTool } from '#lib/core/define'
import { rule, type PolicyCall, type PolicyLayers, type Rule, type Verdict } from '#lib/core/policy'
import type { ToolCall } from '#lib/core/run'
import type { CallWrite } from '#lib/core/commit'
import { fingerprintOf, inputHash } from '#lib/engine/fingerprint'
import type { Session } from '#lib/engine/session'

/** A template's own function has so long to decide; later it counts as failed. */
const decideMs = 5_000

/** Everything that has a say in what becomes of this run's calls. */
export function policyLayers(session: Session): PolicyLayers {
  const { narrowing, run, alwaysAllowed } = session.opened
  return {
    template: session.definition.permission,
    agent: narrowing?.permission === undefined ? [] : [narrowing.permission],
    message: run.narrowing?.permission === undefined ? [] : [run.narrowing.permission],
    always: alwaysAllowed,
  }
}

/** What the rules say of a call of this run. Never rejects: a function of the template that fails denies (the safe side). */
export function judge(session: Session, call: PolicyCall, step: number): Promise<Verdict> {
  return rule(call, policyLayers(session), () => custom(session, call, step))
}

async function custom(session: Session, call: PolicyCall, step: number): Promise<Verdict> {
  const { opened, definition, services } = session
  const decide = definition.permission?.decide
  if (decide === undefined) return { rule: 'deny', reason: 'mode custom, and the template has no function to decide' }
  const context = {
    tenantId: opened.tenantId,
    userId: opened.userId,
    agentId: opened.agentName,
    runId: opened.run.id,
    step,
    metadata: structuredClone(opened.metadata),
  }
  const decided = new AbortController()
  const late = services.clock.sleep(decideMs, decided.signal).then(() => null)
  try {
    const said: Rule | null = await Promise.race([decide({ ...call, input: structuredClone(call.input) }, context), late])
    if (said === 'allow' || said === 'ask' || said === 'deny') return { rule: said, reason: 'the template decided' }
    return { rule: 'deny', reason: said === null ? `the template did not decide within ${decideMs} ms` : 'the template decided nothing' }
  } catch (error) {
    services.log.warn('the permission function of a template failed; the call is denied', {
      runId: opened.run.id,
      tool: call.name,
      error: String(error),
    })
    return { rule: 'deny', reason: 'the permission function of the template failed' }
  } finally {
    decided.abort()
  }
}

/** A call's record as the rules leave it: pending, denied with words for the model, or with the approval that it needs. */
export async function guarded(session: Session, call: CallWrite, tool: AnyTool): Promise<CallWrite> {
  const { name, effect, input, step } = call
  const verdict = await judge(session, { name, effect, input }, step)
  if (verdict.rule === 'allow') return call
  if (verdict.rule === 'ask') {
    return { ...call, state: 'approval_required', approval: approvalFor(session, call, tool, 'permission', verdict.reason) }
  }
  const value = {
    ok: false,
    errorType: 'denied',
    message: `The rules do not allow ${name} (${verdict.reason}); it was not executed.`,
    retryable: false,
    advice: 'Do not repeat the call. Use another tool, or answer without it.',
  }
  return { ...call, state: 'denied', output: { type: 'error-json', value }, note: verdict.reason }
}

/** The decision that a call needs, bound to its input and to the tool as it is deployed. */
function approvalFor(
  session: Session,
  call: Pick<CallWrite, 'input'>,
  tool: AnyTool | undefined,
  kind: ApprovalWrite['kind'],
  reason: string,
): ApprovalWrite {
  const { approvalExpiresMs, approvalDefault } = session.definition
  return {
    id: session.services.ids.make('apr'),
    kind,
    reason,
    inputHash: inputHash(call.input),
    fingerprint: tool === undefined ? '' : fingerprintOf(tool),
    expiresMs: approvalExpiresMs ?? defaultApprovalMs,
    // Nobody repeats by default what may have happened.
    defaultDecision: kind === 'unknown_outcome' ? 'deny' : (approvalDefault ?? 'deny'),
  }
}

/** The record of a `once` call of unknown outcome about which a person is asked: run it again, or go on without it. */
export function askedAgain(session: Session, call: ToolCall, why: string): CallWrite {
  const tool = session.definition.tools?.find((candidate) => candidate.name === call.name)
  const reason = `${why} It may have happened: allow runs it again, deny goes on without it.`
  const approval = approvalFor(session, call, tool, 'unknown_outcome', reason)
  return { ...recordOf(call), state: 'approval_required', output: null, note: 'unknown outcome', approval }
}

/** What of a call's record never changes. */
export function recordOf(call: ToolCall): Omit<CallWrite, 'state' | 'output'> {
  const { callId, step, index, name, input, effect, idempotencyKey } = call
  return { callId, step, index, name, input, effect, idempotencyKey }
}
