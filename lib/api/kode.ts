import { z } from 'zod'
import { send } from '#lib/api/messages'
import { agentParams, messageContent } from '#lib/api/schemas'
import { endpoint } from '#lib/api/endpoint'

/** POST /api/agent/{id}: the alias for readers of the KODE guide, `{status:"done",output}` or `{status:"processing",agentId}` plus fields. */
export const kodeMessage = endpoint({
  method: 'POST',
  path: '/api/agent/{id}',
  summary: 'Alias of POST /api/agents/{id}/messages with {message} alone',
  counts: 'message',
  params: agentParams,
  body: z.strictObject({ message: messageContent, template: z.string().max(64).optional() }),
  userFields: ['message', 'template'],
  handler: (context) => send(context),
})
