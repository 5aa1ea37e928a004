import { z } from 'zod'
import { json } from '#lib/api/answers'
import { endpoint } from '#lib/api/endpoint'
import { authorityOf } from '#lib/api/scope'
import { refusalError } from '#lib/engine/open'

const days = (most: number) => z.int().min(1).max(most)
const values = z.strictObject({
  eventDays: days(400).exactOptional(),
  eventsPerAgent: z.int().min(100).max(1_000_000).exactOptional(),
  deliveryDays: days(30).exactOptional(),
  agentDays: days(4_000).nullable().exactOptional(),
})

/** GET /api/retention: how long this tenant's rows are kept, and when the job last ran. */
export const getRetention = endpoint({
  method: 'GET',
  path: '/api/retention',
  summary: 'How long the rows of this tenant are kept',
  async handler({ services, caller }) {
    const answer = await services.store.getRetention(authorityOf(services, caller))
    if (!answer.ok) throw refusalError(answer)
    const { retention, set, prunedAt } = answer
    return json(200, { ...retention, set, prunedAt })
  },
})

/** PUT /api/retention: replaces what is set; {} gives the defaults back. The next hourly job goes by it. */
export const putRetention = endpoint({
  method: 'PUT',
  path: '/api/retention',
  summary: 'Set how long the rows of this tenant are kept',
  body: values,
  async handler({ services, caller, body }) {
    const set = () => services.store.setRetention(authorityOf(services, caller), body)
    let answer = await set()
    if (!answer.ok && answer.code === 'tenant_missing' && (await services.ensureTenant(String(answer['tenant'])))) answer = await set()
    if (!answer.ok) throw refusalError(answer)
    const { retention, set: given, prunedAt } = answer
    return json(200, { ...retention, set: given, prunedAt })
  },
})
