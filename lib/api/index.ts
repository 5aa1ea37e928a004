import type { Resource } from '#lib/api/openapi/describe'
import { agents } from '#lib/api/openapi/resources/agents'
import { approvals, toolCalls } from '#lib/api/openapi/resources/approvals'
import { consoleSession } from '#lib/api/openapi/resources/console'
import { control, keys } from '#lib/api/openapi/resources/control'
import { events } from '#lib/api/openapi/resources/events'
import { messages } from '#lib/api/openapi/resources/messages'
import { money } from '#lib/api/openapi/resources/money'
import { runs } from '#lib/api/openapi/resources/runs'
import { service } from '#lib/api/openapi/resources/service'
import { webhooks } from '#lib/api/openapi/resources/webhooks'

/**
 * Every endpoint with what it answers, in the order of the document. A new endpoint gets its row in a file of lib/api/openapi/resources;
 * tests/project/openapi.test.ts says which one is missing. Routes never import this: what describes answers costs no cold start.
 */
export const resources: readonly Resource[] = [
  messages,
  agents,
  runs,
  events,
  approvals,
  toolCalls,
  money,
  control,
  keys,
  webhooks,
  consoleSession,
  service,
]
