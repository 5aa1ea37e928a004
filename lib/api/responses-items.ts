/** One output item as OpenAI's clients know it. */
export interface OutputItem extends Record<string, unknown> {
  id: string
  type: string
}

/** What tools are said to belong to: a label that clients take for a server which calls its tools itself. */
export const serverLabel = 'baton'

/** The one content part of an answer's text. */
export function textPart(text: string): Record<string, unknown> {
  return { type: 'output_text', text, annotations: [], logprobs: [] }
}

/** A message of the assistant; `text` null is one without content, as it begins and as a superseded one ends. */
export function messageItem(id: string, status: 'in_progress' | 'completed' | 'incomplete', text: string | null): OutputItem {
  return { id, type: 'message', role: 'assistant', status, content: text === null ? [] : [textPart(text)] }
}

/** A tool call that has begun. Hosted (`mcp_call`), for a `function_call` would be one that the client shall execute. */
export function callItem(callId: string, name: string, input: unknown, approvalId: string | null): OutputItem {
  return {
    id: callId,
    type: 'mcp_call',
    server_label: serverLabel,
    name,
    arguments: JSON.stringify(input ?? {}),
    status: 'in_progress',
    output: null,
    error: null,
    approval_request_id: approvalId,
  }
}

const callStatus: Readonly<Record<string, string>> = { completed: 'completed', sealed: 'incomplete' }

/** The fields that the record of an ended call adds: what the model was given, as text. */
export function callResult(call: Record<string, unknown>): { status: string; output: string | null; error: unknown } {
  const status = callStatus[String(call['state'])] ?? 'failed'
  const given = call['output'] as { type?: unknown; value?: unknown } | null | undefined
  const text = given == null ? null : typeof given.value === 'string' ? given.value : JSON.stringify(given.value)
  if (status === 'completed') return { status, output: text, error: null }
  return { status, output: null, error: { type: 'mcp_tool_execution_error', content: [{ type: 'text', text: text ?? '' }] } }
}

/** A question for a person; it is decided at /api/approvals/{id}, whatever the client. */
export function approvalItem(approvalId: string, name: string, input: unknown): OutputItem {
  return {
    id: approvalId,
    type: 'mcp_approval_request',
    server_label: serverLabel,
    name,
    arguments: JSON.stringify(input ?? {}),
  }
}
