import type { ModelMessage, UIMessage } from 'ai'
import type { ApprovalView } from '#lib/core/approvals'
import type { QueuedMessage } from '#lib/core/pages'
import type { StoredMessage, ToolCall } from '#lib/core/run'
import { errorTextOf, valueOf } from '#lib/api/chat-parts'

type Part = UIMessage['parts'][number]

/** The kind of a user's message that was sent once more by `regenerate-message`: the answer before it is superseded. */
export const regenerateKind = 'regenerate'

/** What a history is made of: rows, never what a client has sent. */
export interface Rows {
  messages: readonly (StoredMessage & { at: string; kind: string })[]
  queued: readonly QueuedMessage[]
  calls: readonly ToolCall[]
  /** Those that wait for a decision. */
  pending: readonly Pick<ApprovalView, 'id' | 'callId' | 'reason'>[]
}

/**
 * A conversation as UIMessages: the assistant's message of a run has the run's id, as its stream says, and the user's `usr_` before that.
 * Pure. Superseded answers carry `metadata.superseded`.
 */
export function historyOf({ messages, queued, calls, pending }: Rows): UIMessage[] {
  const callOf = new Map(calls.map((call) => [call.callId as string, call]))
  const approvalOf = new Map(pending.map((approval) => [approval.callId as string, approval]))
  const shown: UIMessage[] = []
  const used = new Set<string>()
  const idFor = (wanted: string, seq: number | string): string => {
    const id = used.has(wanted) ? `${wanted}~${seq}` : wanted
    used.add(id)
    return id
  }
  for (const { seq, runId, role, kind, content, at } of messages) {
    if (role === 'user' && kind === regenerateKind) supersede(shown)
    else if (role === 'user') {
      shown.push({ id: idFor(userId(runId), seq), role, parts: userParts(content), metadata: { runId, createdAt: at } })
    } else if (role === 'assistant') {
      const last = shown.at(-1)
      const parts = assistantParts(content, callOf, approvalOf)
      if (last?.role === 'assistant' && runOf(last) === runId) last.parts.push(...parts)
      else shown.push({ id: idFor(runId ?? 'assistant', seq), role, parts, metadata: { runId, createdAt: at } })
    }
  }
  for (const { runId, content, at, kind } of queued) {
    if (kind === regenerateKind) supersede(shown)
    else
      shown.push({
        id: idFor(userId(runId), at),
        role: 'user',
        parts: userParts(content),
        metadata: { runId, createdAt: at, state: 'queued' },
      })
  }
  return shown
}

function userId(runId: string | null): string {
  return `usr_${runId?.replace(/^run_/, '') ?? ''}`
}

/** True of an answer that another one has taken the place of. */
export function isSuperseded({ metadata }: UIMessage): boolean {
  return typeof metadata === 'object' && metadata !== null && 'superseded' in metadata
}

function runOf({ metadata }: UIMessage): unknown {
  return typeof metadata === 'object' && metadata !== null && 'runId' in metadata ? metadata.runId : undefined
}

/** Marks all that came after the last message of the user. */
function supersede(shown: UIMessage[]): void {
  for (const message of shown.slice(shown.findLastIndex(({ role }) => role === 'user') + 1)) {
    message.metadata = { ...(message.metadata as object), superseded: true }
  }
}

/** The parts of what a user has sent. */
function userParts(content: unknown): Part[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }]
  if (!Array.isArray(content)) return []
  return (content as Record<string, unknown>[]).map((part) =>
    part['type'] === 'text'
      ? { type: 'text', text: String(part['text']) }
      : {
          type: 'file',
          url: String(part['data'] ?? part['image']),
          mediaType: typeof part['mediaType'] === 'string' ? part['mediaType'] : 'image/*',
          ...(typeof part['filename'] === 'string' ? { filename: part['filename'] } : {}),
        },
  )
}

function assistantParts(
  content: ModelMessage['content'],
  calls: ReadonlyMap<string, ToolCall>,
  approvals: ReadonlyMap<string, Rows['pending'][number]>,
): Part[] {
  const parts: Part[] = [{ type: 'step-start' }]
  if (typeof content === 'string') return [...parts, { type: 'text', text: content, state: 'done' }]
  // A model's reasoning and text are each one part, as its stream shows them: their pieces may alternate.
  for (const type of ['reasoning', 'text'] as const) {
    const text = content.map((part) => (part.type === type ? part.text : '')).join('')
    if (text !== '') parts.push({ type, text, state: 'done' })
  }
  for (const part of content) {
    if (part.type !== 'tool-call') continue
    parts.push(toolPart(part, calls.get(part.toolCallId), approvals.get(part.toolCallId)))
  }
  return parts
}

function toolPart(
  { toolCallId, toolName, input }: { toolCallId: string; toolName: string; input: unknown },
  call: ToolCall | undefined,
  asked: Rows['pending'][number] | undefined,
): Part {
  const part = { type: `tool-${toolName}` as const, toolCallId, input: call?.input ?? input }
  const value = valueOf(call?.output)
  switch (call?.state) {
    case 'completed':
      return { ...part, state: 'output-available', output: value }
    case 'failed':
    case 'sealed':
      return { ...part, state: 'output-error', errorText: errorTextOf(value) }
    case 'denied':
      return { ...part, state: 'output-denied', approval: { id: call.approval?.id ?? toolCallId, approved: false } }
    case 'approval_required':
      return {
        ...part,
        state: 'approval-requested',
        approval: { id: asked?.id ?? '', ...(typeof asked?.reason === 'string' ? { requestReason: asked.reason } : {}) },
      }
    default:
      return { ...part, state: 'input-available' }
  }
}
