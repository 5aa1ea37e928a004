import { describe, expect, test } from 'vitest'
import { endpointsFor, type HttpServices } from '#lib/http/endpoint'
import { handle } from '#lib/http/handle'
import { readIdempotencyKey, readIfMatchAny, readPrefer } from '#lib/http/prefer'
import { testServices } from './services.fixture.ts'

const bounds = { defaultWaitMs: 25_000, maxWaitMs: 55_000 }
const prefer = (...values: string[]) => readPrefer(new Headers(values.map((value): [string, string] => ['prefer', value])), bounds)

describe('Prefer', () => {
  test.each([
    [[], { waitMs: 25_000, respondAsync: false, applied: null }],
    [['wait=3'], { waitMs: 3_000, respondAsync: false, applied: 'wait=3' }],
    [['wait=0'], { waitMs: 0, respondAsync: false, applied: 'wait=0' }],
    [['WAIT = "7"'], { waitMs: 7_000, respondAsync: false, applied: 'wait=7' }],
    [['wait=9999'], { waitMs: 55_000, respondAsync: false, applied: 'wait=55' }],
    [['respond-async'], { waitMs: 0, respondAsync: true, applied: 'respond-async' }],
    [['handling=lenient; x="a,wait=1"', 'wait=4'], { waitMs: 4_000, respondAsync: false, applied: 'wait=4' }],
    [['wait=1, wait=2'], { waitMs: 1_000, respondAsync: false, applied: 'wait=1' }],
    [['wait=-1'], { waitMs: 25_000, respondAsync: false, applied: null }],
    [['wait=1.5'], { waitMs: 25_000, respondAsync: false, applied: null }],
    [['wait'], { waitMs: 25_000, respondAsync: false, applied: null }],
    [['wait="1'], { waitMs: 25_000, respondAsync: false, applied: null }],
    [[',,;=,"'], { waitMs: 25_000, respondAsync: false, applied: null }],
  ])('%j', (values, expected) => {
    expect(prefer(...values)).toEqual(expected)
  })
})

test('who is answered at once has waited for nothing, and is not told so', () => {
  expect(prefer('wait=2, respond-async')).toEqual({ waitMs: 0, respondAsync: true, applied: 'respond-async' })
})

test('Idempotency-Key is 1 to 255 visible ASCII characters', () => {
  const key = (value: string) => readIdempotencyKey(new Headers({ 'idempotency-key': value }))
  expect(readIdempotencyKey(new Headers())).toBeNull()
  expect(key('k-1:~!')).toBe('k-1:~!')
  expect(key('k'.repeat(255))).toHaveLength(255)
  for (const bad of ['', 'a b', 'k'.repeat(256), 'é', 'a, b']) expect(() => key(bad)).toThrow('Idempotency-Key')
})

test('If-Match understands the star only', () => {
  const match = (value: string) => readIfMatchAny(new Headers({ 'if-match': value }))
  expect(readIfMatchAny(new Headers())).toBe(false)
  expect(match('*')).toBe(true)
  expect(() => match('"abc"')).toThrow('If-Match')
})

/** What one who asks with these headers is answered, by a thing that can be read and changed. */
async function asked(method: 'GET' | 'PATCH', headers: Record<string, string>, changes: Parameters<typeof testServices>[0] = {}) {
  const services = testServices(changes)
  const endpoint = endpointsFor<HttpServices>()
  const told = {
    path: '/api/thing',
    summary: 'A thing',
    handler: ({ prefer: { waitMs } }: { prefer: { waitMs: number } }) => Response.json(waitMs),
  }
  const endpoints = [endpoint({ ...told, method: 'GET' }), endpoint({ ...told, method: 'PATCH' })]
  const routes = handle(endpoints, { services: () => Promise.resolve(services), background: () => undefined, fallbackLog: services.log })
  const answer = await routes[method](new Request('http://localhost:3000/api/thing', { method, headers }))
  return answer.ok ? answer.json() : answer.status
}

test('nobody waits longer than the function lasts, without its margin', async () => {
  const long = { prefer: 'wait=9999' }
  expect(await asked('GET', long, { maxDurationMs: 60_000, hardMarginMs: 5_000 })).toBe(55_000)
  expect(await asked('GET', long, { maxDurationMs: 1_000, hardMarginMs: 5_000 })).toBe(0)
})

test('an entity tag is refused wherever something is changed, and where it is only read it is nothing', async () => {
  const tag = { 'if-match': '"abc"' }
  expect(await asked('PATCH', tag)).toBe(412)
  expect(await asked('PATCH', { 'if-match': '*' })).toBe(25_000)
  expect(await asked('GET', tag)).toBe(25_000)
})
