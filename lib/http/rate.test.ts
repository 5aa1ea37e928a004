import { expect, test } from 'vitest'
import type { RateLimit } from '#lib/core/ports'
import { unlimited, verdictOf } from '#lib/core/rate'
import type { Caller } from '#lib/http/caller'
import { rateHeaders, takeFromLimits, type RateRequest } from '#lib/http/rate'

const user: RateLimit = { name: 'user', key: 'u', limit: 60, windowMs: 60_000, cost: 1 }
const agent: RateLimit = { ...user, name: 'agent-messages', limit: 5 }
const caller: Caller = {
  kind: 'operator',
  credential: { operator: { tenant: 't', name: 'local' } },
  requestId: 'r',
  agentUid: null,
  rateKey: 'local',
}
const verdict = (allowed: boolean) =>
  verdictOf([
    { limit: user, allowed: true, remaining: 50, resetMs: 29_500 },
    { limit: agent, allowed, remaining: 0, resetMs: 1_001 },
  ])

function take(over: Partial<RateRequest> & { allowed?: boolean } = {}): Promise<Record<string, string>> {
  const rates = { request: () => Promise.resolve({ verdict: verdict(over.allowed ?? true), beside: null }) }
  const endpoint = { access: 'caller', counts: 'message' } as const
  return takeFromLimits({ caller, endpoint, environment: 'test', id: 'a', rates, background: () => undefined, ...over })
}

test('the headers are those of draft-ietf-httpapi-ratelimit-headers', async () => {
  expect(await take()).toEqual({
    'ratelimit-policy': '"user";q=60;w=60, "agent-messages";q=5;w=60',
    ratelimit: '"user";r=50;t=30, "agent-messages";r=0;t=2',
  })
  expect(rateHeaders(unlimited)).toEqual({})
})

test('a refusal is rate_limited with the limit that refused, its headers, and hard: false', async () => {
  await expect(take({ allowed: false })).rejects.toMatchObject({
    code: 'rate_limited',
    details: { hard: false, limit: { name: 'agent-messages', limit: 5 }, retryAfterMs: 1_001 },
    headers: { ratelimit: expect.stringContaining('r=0') },
  })
})

test('open endpoints and those of monitors are not counted, and an agent is only that of a message', async () => {
  const asked: unknown[] = []
  const rates = { request: (_who: unknown, of: unknown) => (asked.push(of), Promise.resolve({ verdict: unlimited, beside: null })) }
  for (const access of ['open', 'status'] as const) expect(await take({ rates, endpoint: { access, counts: 'request' } })).toEqual({})
  await take({ rates, endpoint: { access: 'caller', counts: 'request' } })
  await take({ rates })
  expect(asked).toEqual([
    { message: false, agent: null },
    { message: true, agent: 'a' },
  ])
})
