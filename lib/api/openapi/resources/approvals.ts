import { decideApproval, getApproval, listApprovals } from '#lib/api/approvals'
import { giveResult } from '#lib/api/call-result'
import { json, operation, page, type Resource } from '#lib/api/openapi/describe'
import { exampleRun } from '#lib/api/openapi/schemas/run'
import { approval, callResult, decided, exampleApproval, exampleCall, toolCall } from '#lib/api/openapi/schemas/tool-call'
import { exampleIds } from '#lib/api/openapi/schemas/words'
import { listToolCalls } from '#lib/api/tool-calls'

const { callId, later, runId } = exampleIds

/** Approvals: what a person decides about tool calls. */
export const approvals: Resource = {
  tag: 'Approvals',
  description: 'A tool call that the rules ask about pauses its run until somebody decides.',
  operations: {
    listApprovals: operation(listApprovals, { 200: page('ApprovalPage', approval, 'Approvals, oldest first', exampleApproval) }),
    getApproval: operation(getApproval, { 200: json(approval, 'The approval', exampleApproval) }, { problems: ['approval_not_found'] }),
    decideApproval: operation(
      decideApproval,
      {
        200: json(decided, 'The decision counts, or had been made so before', {
          ...exampleApproval,
          state: 'allowed',
          decidedBy: 'key:key_01936f1e',
          decidedAt: later,
          replayed: false,
          run: exampleRun,
        }),
      },
      {
        problems: ['approval_not_found', 'already_decided', 'conflict', 'too_late', 'killed', 'authority_expired', 'template_missing'],
        example: { decision: 'allow', note: 'spoke to the customer' },
      },
    ),
  },
}

/** Tool calls: their records, and results from outside. */
export const toolCalls: Resource = {
  tag: 'Tool calls',
  description: 'Each call of a tool has a record; a call of an external tool waits for its result.',
  operations: {
    listToolCalls: operation(
      listToolCalls,
      { 200: page('ToolCallPage', toolCall, 'Tool calls of the agent, oldest first', exampleCall) },
      { problems: ['agent_not_found'] },
    ),
    giveToolResult: operation(
      giveResult,
      { 200: json(callResult, 'The result is the one that counts', { callId, state: 'completed', runId }) },
      {
        problems: ['unauthorized', 'call_not_found', 'already_decided', 'too_late', 'conflict', 'killed'],
        example: { output: { delivered: true } },
      },
    ),
  },
}
