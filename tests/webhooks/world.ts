import { poll } from '#local/poll'
import type { WebhookDelivery, WebhookEndpoint } from '#lib/core/webhooks'
import type { World } from '#tests/world'

/** Registers an endpoint over HTTP; throws with the problem when it is refused. */
export async function registerAt(
  world: World,
  url: string,
  options: { events?: string[]; secret?: string; description?: string } = {},
): Promise<WebhookEndpoint & { secret: string }> {
  const reply = await world.http('POST', '/api/webhooks', { url, ...options })
  if (reply.status !== 201) throw new Error(`${reply.status} ${JSON.stringify(reply.body)}`)
  return reply.body as unknown as WebhookEndpoint & { secret: string }
}

export async function deliveriesOf(world: World, webhook: string, query = ''): Promise<WebhookDelivery[]> {
  const reply = await world.http('GET', `/api/webhooks/${webhook}/deliveries${query}`)
  if (reply.status !== 200) throw new Error(`${reply.status} ${JSON.stringify(reply.body)}`)
  return reply.body['data'] as WebhookDelivery[]
}

/** Waits until the endpoint's newest delivery is in that state; throws with what it is after 20 s. */
export async function newestIs(world: World, webhook: string, state: string): Promise<WebhookDelivery> {
  let newest: WebhookDelivery | undefined
  const reached = await poll(
    async () => {
      newest = (await deliveriesOf(world, webhook))[0]
      return newest?.state === state
    },
    { everyMs: 50, forMs: 60_000 },
  )
  if (!reached || newest === undefined) throw new Error(`not ${state}: ${JSON.stringify(newest)}`)
  return newest
}
