import { expect, test } from 'vitest'
import { z } from 'zod'
import { isErrorCode } from '#lib/core/errors'
import { endpointsFor, methods } from '#lib/http/endpoint'
import type { HttpServices } from '#lib/http/endpoint'
import { handle } from '#lib/http/handle'
import { testServices } from './services.fixture.ts'

/** A small seeded generator (mulberry32): a failure names its seed and can be had again. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

const pieces = [
  '{',
  '}',
  '[',
  ']',
  '"',
  ':',
  ',',
  '\\',
  '\\u005f',
  '__proto__',
  '"constructor"',
  'null',
  'true',
  '1e999',
  '-0',
  '\u0000',
  '\ud800',
  'é',
  '"a":',
  '{"message":',
  ' ',
  '\n',
  '['.repeat(70),
]
const values = [
  '',
  ' ',
  '*',
  '"',
  'wait=1',
  'wait=;,"',
  'application/json',
  'text/plain',
  'application/json; charset=',
  'gzip',
  'null',
  'http://localhost',
  'https://evil.example',
  '\t',
  'é',
  '%',
  '0',
  '-1',
  '1e9',
  'x'.repeat(5_000),
]
const names = [
  'host',
  'origin',
  'content-type',
  'content-encoding',
  'content-length',
  'prefer',
  'idempotency-key',
  'if-match',
  'x-request-id',
  'x-forwarded-host',
  'access-control-request-method',
  'accept',
]
const paths = [
  '/api/x/a',
  '/api/x/%',
  '/api/x/%00',
  '/api/x/%2e%2e',
  '/api/x/a?token=',
  '/api/x/a?token=a.b.c',
  '/api/x/a?__proto__=1',
  '/api/x/a?=&&%ff',
  '/api/x/',
  '/api/x/a?limit=1&limit=2',
]

const endpoint = endpointsFor<HttpServices>()
const ran: unknown[] = []
const params = z.object({ id: z.string() })
const endpoints = [
  endpoint({
    method: 'POST',
    path: '/api/x/{id}',
    summary: 'x',
    params,
    body: z.object({ message: z.literal('never by chance 5f1c'), metadata: z.record(z.string(), z.json()).optional() }),
    handler: (context) => {
      ran.push(context.body)
      return new Response()
    },
  }),
  endpoint({
    method: 'GET',
    path: '/api/x/{id}',
    summary: 'x',
    access: 'run-stream',
    params,
    query: z.object({ required: z.literal('never by chance 5f1c') }),
    handler: (context) => {
      ran.push(context.query)
      return new Response()
    },
  }),
]

test.each(Array.from({ length: 40 }, (_, seed) => seed))('garbage never yields anything but a problem document (seed %i)', async (seed) => {
  const random = randomFrom(seed)
  const pick = <Item>(from: readonly [Item, ...Item[]] | readonly Item[], otherwise: Item): Item =>
    from[Math.floor(random() * from.length)] ?? otherwise
  const services = testServices()
  const routes = handle(endpoints, { services: () => Promise.resolve(services), background: () => undefined, fallbackLog: services.log })
  for (let round = 0; round < 25; round += 1) {
    const method = pick(methods, 'POST')
    const headers = new Headers(random() < 0.7 ? { 'content-type': 'application/json' } : {})
    for (let count = Math.floor(random() * 4); count > 0; count -= 1) {
      try {
        headers.append(pick(names, 'prefer'), pick(values, ''))
      } catch {
        // What no client could send cannot arrive either.
      }
    }
    const text = Array.from({ length: Math.floor(random() * 30) }, () => pick(pieces, '{')).join('')
    const bytes = random() < 0.2 ? Uint8Array.from({ length: 50 }, () => Math.floor(random() * 256)) : new TextEncoder().encode(text)
    const body = method === 'GET' ? null : bytes
    const request = new Request(`http://localhost${pick(paths, '/api/x/a')}`, { method, headers, body })
    const response = await routes[method](request)
    const seen = `${method} ${request.url} ${JSON.stringify([...headers])} ${text}`
    expect(response.headers.get('content-type'), seen).toBe('application/problem+json')
    expect(response.status, seen).toBeGreaterThanOrEqual(400)
    expect(response.status, seen).toBeLessThan(500)
    const problem = z
      .object({ code: z.string(), status: z.literal(response.status), detail: z.string().min(1), requestId: z.string() })
      .parse(await response.json())
    expect(isErrorCode(problem.code), seen).toBe(true)
  }
  expect(ran).toEqual([])
  expect(services.lines.filter((line) => line.level === 'error')).toEqual([])
  expect(Object.hasOwn(Object.prototype, 'message')).toBe(false)
})
