import type { Resource } from '#lib/api/openapi/describe'
import { agents } from '#lib/api/openapi/resources/agents'
import { approvals, toolCalls } from '#lib/api/openapi/resources/approvals'
import { chat } from '#lib/api/openapi/resources/chat'
import { consoleSession } from '#lib/api/openapi/resources/console'
import { control, keys } from '#lib/api/openapi/resources/control'
import { events } from '#lib/api/openapi/resources/events'
import { messages } from '#lib/api/openapi/resources/messages'
import { money } from '#lib/api/openapi/resources/money'
import { operate } from '#lib/api/openapi/resources/operate'
import { responses } from '#lib/api/openapi/resources/responses'
import { runs } from '#lib/api/openapi/resources/runs'
import { service } from '#lib/api/openapi/resources/service'
import { watch } from '#lib/api/openapi/resources/watch'
import { webhooks } from '#lib/api/openapi/resources/webhooks'

/**
 * Every endpoint with what it answers, in the order of the document. A new endpoint gets its row in a file of lib/api/openapi/resources;
 * tests/project/openapi.test.ts says which one is missing. Routes never import this: what describes answers costs no cold start.
 */
export const resources: readonly Resource[] = [
  messages,
  agents,
  runs,
  responses,
  events,
  approvals,
  toolCalls,
  money,
  control,
  keys,
  webhooks,
  operate,
  chat,
  consoleSession,
  watch,
  service,
]
