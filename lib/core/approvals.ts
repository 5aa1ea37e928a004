import type { AgentUid, CallId, RunId } from '#lib/core/ids'
import type { OutboxRow } from '#lib/core/ports'
import type { ToolCall, ToolOutput } from '#lib/core/run'
import type { Authority, Refusal, RunView } from '#lib/core/store'

/** How long an approval waits before the default decides, in milliseconds: 7 days (2-run-contract, Permissions). */
export const defaultApprovalMs = 7 * 86_400_000
/** How long the outside has to answer a call, in milliseconds: 24 hours. */
export const defaultExternalMs = 86_400_000

/** What a person may decide. */
export type ApprovalDecision = 'allow' | 'deny'
/** All states of an approval; each but pending is final. */
export const approvalStates = ['pending', 'allowed', 'denied', 'expired', 'cancelled'] as const

/** The decision that a call needs: written with its record, in the answer's commit. */
export interface ApprovalWrite {
  id: `apr_${string}`
  kind: 'permission' | 'unknown_outcome'
  reason: string
  /** Of the canonical input: what is decided is exactly this. */
  inputHash: string
  /** Of the tool as it was deployed then. */
  fingerprint: string
  expiresMs: number
  defaultDecision: ApprovalDecision
}

/** The part of a call's record that asks for a decision; there only with the state approval_required. */
export interface Guarded {
  approval?: ApprovalWrite
}

/** What a person has allowed, kept with the call: looked at again before it runs. */
export interface Approved {
  id: string
  by: string
  inputHash: string
  fingerprint: string
}

/** The part of a commit's intents about calls that somebody must answer. */
export interface WaitingIntends {
  /** The run stops here unless a decision has come meanwhile: nothing runs while somebody is asked. */
  pause?: boolean
  /** Calls that the executor takes for waiting: the answer tells what has become of them. */
  waiting?: CallId[]
  /** Milliseconds that the outside has to answer each external call that starts. */
  external?: Record<CallId, number>
}

/** The part of a commit's answer about calls that waited. */
export interface WaitingAnswer {
  decided: ToolCall[]
}

/** What a run waits for, as its callers are told. */
export interface Waits {
  approvals: { id: string; callId: CallId; tool: string; input: unknown; kind: string; reason: string | null; expiresAt: string }[]
  externalCalls: { callId: CallId; tool: string; input: unknown; expiresAt: string }[]
}

/** An approval as callers see it, and the fingerprint of the tool it was asked for. */
export interface ApprovalView {
  id: string
  state: (typeof approvalStates)[number]
  kind: ApprovalWrite['kind']
  agentId: string
  agentUid: AgentUid
  template: string
  userId: string | null
  runId: RunId
  callId: CallId
  tool: string
  input: unknown
  editedInput: unknown
  fingerprint: string
  reason: string | null
  defaultDecision: ApprovalDecision
  expiresAt: string
  decidedBy: string | null
  decidedAt: string | null
  note: string | null
  createdAt: string
}

/** A decision as the store takes it; `inputHash` goes with an edited input. */
export interface DecideRequest {
  approvalId: string
  decision: ApprovalDecision
  note?: string
  always?: boolean
  input?: unknown
  /** A copy of the edited input for events, only where the exact one shows a secret. */
  shownInput?: unknown
  inputHash?: string
  /** Of the tool as it is deployed now, for which the input was checked. */
  fingerprint?: string
}

/** The result of a call that waited outside: from the call's own signed address, or by a caller's authority. */
export interface CallResultRequest extends Partial<Pick<Authority, 'credential'>> {
  environment: string
  agentUid: AgentUid
  callId: string
  state: 'completed' | 'failed'
  output: ToolOutput
  /** A copy for events, only where the exact one shows a secret. */
  shownOutput?: ToolOutput
  requestId: string
}

/** The part of the store that deals with decisions and results from outside. */
export interface ApprovalStore {
  decide(
    authority: Authority,
    request: DecideRequest,
  ): Promise<
    { ok: true; replayed: boolean; approval: ApprovalView; run: RunView; mayRead: boolean; epoch: number; outbox: OutboxRow[] } | Refusal
  >
  /** `toDecide`: for a caller who may decide, not only look. */
  getApproval(authority: Authority, approvalId: string, toDecide?: boolean): Promise<{ ok: true; approval: ApprovalView } | Refusal>
  listApprovals(
    authority: Authority,
    query: { limit: number; bytes?: number; after: string | null; [filter: string]: unknown },
  ): Promise<{ ok: true; data: ApprovalView[]; more: boolean } | Refusal>
  callResult(request: CallResultRequest): Promise<{ ok: true; call: ToolCall; run: RunView; epoch: number; outbox: OutboxRow[] } | Refusal>
}
