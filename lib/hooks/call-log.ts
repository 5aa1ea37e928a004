import { defineHook } from '#lib/core/hooks'

/** Writes a line for operators about each tool call that has ended; changes nothing. */
export const callLog = defineHook({
  name: 'call_log',
  postToolUse(call, outcome, context) {
    context.log('a tool call has ended', { tool: call.name, callId: call.callId, state: outcome.state, executed: outcome.executed })
  },
})
