import { z } from 'zod'
import { json } from '#lib/api/answers'
import { endpoint } from '#lib/api/endpoint'
import { authorityOf } from '#lib/api/scope'
import { BatonError } from '#lib/core/errors'
import { defaultRates, limitFields, type LimitValues } from '#lib/core/rate'
import { parseScope, scopeText } from '#lib/core/scope'
import { refusalError } from '#lib/engine/open'

const amount = z.int().nonnegative().max(1_000_000_000)
const limitValues = z.strictObject({
  requestsPerMinute: amount.exactOptional(),
  messagesPerMinute: amount.exactOptional(),
  tokensPerMinute: amount.exactOptional(),
  concurrentRuns: amount.exactOptional(),
  queuedMessages: amount.exactOptional(),
  // They are counted when one more is made.
  agents: z.int().nonnegative().max(100_000).exactOptional(),
})

/** GET /api/limits: what has been set, and what holds where nothing has. */
export const listLimits = endpoint({
  method: 'GET',
  path: '/api/limits',
  summary: 'Limits of requests, messages, model calls, runs at a time and agents of a user',
  async handler({ services, caller }) {
    const answer = await services.store.listLimits(authorityOf(services, caller))
    if (!answer.ok) throw refusalError(answer)
    const { requestsPerMinute, userMessagesPerMinute: messagesPerMinute } = defaultRates
    const defaults = {
      'user:*': { requestsPerMinute, messagesPerMinute, concurrentRuns: 5, agents: 10_000 },
      'key:*': { requestsPerMinute },
    }
    return json(200, { data: answer.data, defaults })
  },
})

/** PUT /api/limits/{scope}: replaces what is set for it; {} gives it its defaults back. Zero allows nothing. */
export const putLimit = endpoint({
  method: 'PUT',
  path: '/api/limits/{scope}',
  summary: 'Set the limits of a scope',
  params: z.object({ scope: z.string().min(1).max(250) }),
  body: limitValues,
  async handler({ services, caller, params, body }) {
    const scope = checkedScope(params.scope, body)
    const set = () => services.store.setLimit(authorityOf(services, caller), { scope, values: body })
    let answer = await set()
    if (!answer.ok && answer.code === 'tenant_missing' && (await services.ensureTenant(String(answer['tenant'])))) answer = await set()
    if (!answer.ok) throw refusalError(answer)
    await services.rates.changed()
    return json(200, answer.limit)
  },
})

/** The one spelling of the scope, so that no limit is set which nothing ever looks for. Throws BatonError validation. */
function checkedScope(given: string, values: LimitValues): string {
  const [kind = '', ...rest] = given.split(':')
  const parsed = parseScope(given)
  const scope = kind === 'model' ? (/.\/./.test(rest.join(':')) ? given : null) : parsed === null ? null : scopeText(parsed)
  const fields = limitFields[kind]
  const all = ['user', 'key', 'agent'].includes(kind)
  if (fields === undefined || scope === null || (parsed?.id === '*' && !all)) {
    const message =
      'is no scope of limits: use tenant, user:ID, key:ID, agent:ID, tool:NAME or model:PROVIDER/NAME; user:*, key:* and agent:* set all of theirs'
    throw refused([{ in: 'path', path: '/scope', message }])
  }
  const foreign = Object.keys(values).filter((field) => !(fields as readonly string[]).includes(field))
  if (foreign.length > 0)
    throw refused(
      foreign.map((field) => ({ in: 'body', path: `/${field}`, message: `is no limit of ${kind}: it takes ${fields.join(', ')}` })),
    )
  return scope
}

function refused(problems: { in: string; path: string; message: string }[]): BatonError {
  return new BatonError('validation', problems.map(({ in: place, path, message }) => `${place} ${path} ${message}`).join('; '), {
    problems,
  })
}
