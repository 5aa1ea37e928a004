import { expect, test } from 'vitest'
import { z } from 'zod'
import { BatonError } from '#lib/core/errors'
import { endpointsFor, type HttpServices } from '#lib/http/endpoint'
import { handle } from '#lib/http/handle'
import type { ShapeError } from '#lib/http/problem'
import { testServices } from './services.fixture.ts'

const endpoint = endpointsFor<HttpServices>()
const shapeError: ShapeError = ({ code, detail, status }) => ({
  body: { error: { code, message: detail } },
  ...(status === 422 ? { status: 400 } : {}),
})
const read = endpoint({
  method: 'GET',
  path: '/v9/things/{id}',
  summary: 'Read a thing of another protocol',
  shapeError,
  params: z.object({ id: z.string().max(5) }),
  handler: ({ params }) => {
    if (params.id === 'boom') throw new Error('secret detail')
    throw new BatonError('max_steps', 'Fifty steps.', {}, { headers: { 'idempotent-replayed': 'true' } })
  },
})

function routes(local = true) {
  const services = testServices({ local })
  return handle([read], { services: () => Promise.resolve(services), background: () => undefined, fallbackLog: services.log })
}

async function asked(path: string, method: 'GET' | 'DELETE' = 'GET', local = true): Promise<{ response: Response; body: unknown }> {
  const response = await routes(local)[method](new Request(`http://localhost${path}`, { method }))
  return { response, body: await response.json() }
}

test('errors of a dialect have its shape and its status, wherever they come from, and keep their headers', async () => {
  const { response, body } = await asked('/v9/things/a')
  expect(body).toEqual({ error: { code: 'max_steps', message: 'Fifty steps.' } })
  expect(response.status).toBe(400)
  expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8')
  expect(response.headers.get('idempotent-replayed')).toBe('true')
  expect(response.headers.get('x-should-retry')).toBe('false')

  const codes: [path: string, method: 'GET' | 'DELETE', local: boolean, status: number, code: string][] = [
    ['/v9/things/too-long', 'GET', true, 400, 'validation'],
    ['/v9/things/a', 'DELETE', true, 405, 'method_not_allowed'],
    ['/v9/things/a', 'GET', false, 401, 'unauthorized'],
    ['/v9/elsewhere', 'GET', true, 404, 'not_found'],
    ['/v9/things/boom', 'GET', true, 500, 'internal_error'],
  ]
  for (const [path, method, local, status, code] of codes) {
    const { response: refused, body: shaped } = await asked(path, method, local)
    expect([refused.status, shaped]).toMatchObject([status, { error: { code } }])
    expect(JSON.stringify(shaped)).not.toContain('secret detail')
  }
})

test('bad configuration is told in the shape of the dialect too', async () => {
  const { log } = testServices()
  const services = (): Promise<HttpServices> => Promise.reject(new BatonError('not_configured', 'SUPABASE_URL is missing.'))
  const { GET } = handle([read], { services, background: () => undefined, fallbackLog: log })
  const response = await GET(new Request('http://localhost/v9/things/a'))
  expect([response.status, await response.json()]).toEqual([
    503,
    { error: { code: 'not_configured', message: 'SUPABASE_URL is missing.' } },
  ])
})
