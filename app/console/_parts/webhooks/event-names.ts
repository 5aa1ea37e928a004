import type { WebhookEvent } from '#lib/core/webhooks'

/** The events that an endpoint may ask for; `satisfies` fails where the core knows another list. */
const names = {
  'run.completed': true,
  'run.failed': true,
  'run.cancelled': true,
  'run.awaiting_approval': true,
  'run.handed_off': true,
  'budget.threshold': true,
  'agent.killed': true,
  'webhook.disabled': true,
} satisfies Record<WebhookEvent, true>

/** Their names, in that order. */
export const eventNames = Object.keys(names)
