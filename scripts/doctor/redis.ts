import { randomBytes } from 'node:crypto'
import type { Config } from '#lib/core/config'
import { ask, lineOf, objectOf, teller, textOf, type Finding } from '#scripts/doctor/finding'

const { ok, warn, fail } = teller('redis')

/** Upstash's words: "ERR max requests limit exceeded", "max daily request limit", "max request size", ... and too many requests in a second. */
const overPlan = /^429|max (?:\w+ )*(?:requests?|bandwidth|storage|database)\b.*(?:limit|exceeded)|quota/i

/** Reaches Redis as the server does, over REST: a key is written, read and removed; the eviction policy is told where it can be read. */
export async function checkRedis(redis: NonNullable<Config['redis']>): Promise<Finding[]> {
  const command = (...words: string[]) =>
    ask(redis.url, {
      method: 'POST',
      headers: { authorization: `Bearer ${redis.token}`, 'content-type': 'application/json' },
      body: JSON.stringify(words),
    })
  const key = `${redis.prefix}doctor:${randomBytes(6).toString('hex')}`
  try {
    const ping = await command('PING')
    if (ping.status === 401 || ping.status === 403)
      return [
        fail('Redis refuses the token', 'Copy UPSTASH_REDIS_REST_TOKEN from the Upstash console again (REST API, not the read-only one).'),
      ]
    if (ping.status !== 200 && overPlan.test(`${ping.status} ${ping.text}`))
      return [
        fail(
          `Redis is over its plan: ${textOf(objectOf(ping.text)['error'] ?? ping.status).slice(0, 160)}`,
          'Take a larger plan in the Upstash console, or wait for its next period. Until then text of background work comes step by step and each process counts rate limits alone.',
        ),
      ]
    if (ping.status !== 200)
      return [
        fail(
          `Redis answers ${ping.status}: ${ping.text.slice(0, 120)}`,
          'Check UPSTASH_REDIS_REST_URL: it begins with https:// and is the REST URL, not redis://.',
        ),
      ]
    const set = await command('SET', key, 'written', 'EX', '60')
    if (set.status !== 200)
      return [
        fail(
          `Redis takes no writes: ${textOf(objectOf(set.text)['error'] ?? set.status)}`,
          'Use the full token, not the read-only one; look whether the database is over its plan.',
        ),
      ]
    const read = objectOf((await command('GET', key)).text)['result']
    await command('DEL', key)
    if (read !== 'written') return [fail('Redis does not give back what was written', 'Look at the database in the Upstash console.')]
    return [
      ok(`Redis answers at ${new URL(redis.url).host} and a key under ${redis.prefix} was written, read and removed`),
      await eviction(command),
    ]
  } catch (error) {
    return [
      fail(
        `Redis is not reachable at ${redis.url}: ${lineOf(error)}`,
        'Check UPSTASH_REDIS_REST_URL and the database in the Upstash console. Baton works without it, text of background work then comes step by step.',
      ),
    ]
  }
}

/** Everything in it expires by itself and nothing is needed for correctness; evicting counters early would only loosen rate limits. */
async function eviction(command: (...words: string[]) => Promise<{ status: number; text: string }>): Promise<Finding> {
  const answer = await command('CONFIG', 'GET', 'maxmemory-policy')
  const result = objectOf(answer.text)['result']
  const policy = Array.isArray(result)
    ? String(result[1])
    : typeof result === 'object' && result !== null
      ? String(Object.values(result)[0])
      : null
  if (policy === null || policy === 'undefined') return ok('the eviction policy cannot be read here (Upstash sets it in its console)')
  return policy.startsWith('allkeys')
    ? warn(
        `the eviction policy is ${policy}: under pressure rate limits forget early`,
        'Choose noeviction or volatile-ttl, or a larger plan.',
      )
    : ok(`eviction policy ${policy}`)
}
