import { afterAll, beforeAll, expect, test } from 'vitest'
import { errorTable } from '#lib/core/errors'
import { startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

const get = (path: string, headers: Record<string, string> = {}): Promise<Response> => fetch(world.base() + path, { headers })

test('GET /api/openapi.json: cached, with an ETag that a reader comes back with', async () => {
  const first = await get('/api/openapi.json')
  expect(first.status).toBe(200)
  expect(first.headers.get('cache-control')).toBe('public, max-age=300')
  const etag = String(first.headers.get('etag'))
  expect(await first.json()).toMatchObject({ openapi: '3.1.1', info: { title: 'Baton' } })
  const again = await get('/api/openapi.json', { 'if-none-match': etag })
  expect(again.status).toBe(304)
  expect(again.headers.get('etag')).toBe(etag)
})

test('GET /docs: what it loads is served here, and its policy lets nothing else in', async () => {
  const page = await get('/docs')
  expect(page.status).toBe(200)
  const policy = String(page.headers.get('content-security-policy'))
  expect(policy).toContain("default-src 'none'")
  expect(policy).not.toMatch(/https?:|\*|unsafe-eval|script-src[^;]*unsafe/)
  const html = await page.text()
  expect(html).not.toMatch(/(?:src|href)="(?!\/|data:)/)
  const assets = [...html.matchAll(/(?:src|href)="(\/docs\/[^"]+)"/g)].map(([, path]) => String(path))
  expect(assets).toEqual(['/docs/viewer.css', '/docs/viewer.js', '/docs/start.js'])
  for (const path of assets) {
    const asset = await get(path)
    expect(asset.status).toBe(200)
    expect(asset.headers.get('content-type')).toMatch(path.endsWith('.css') ? /^text\/css/ : /^text\/javascript/)
    expect((await get(path, { 'if-none-match': String(asset.headers.get('etag')) })).status).toBe(304)
  }
})

test('GET /docs/errors: the type of a problem leads to its code', async () => {
  const { body } = await world.http('GET', '/api/agents/nobody')
  const type = new URL(String(body['type']))
  expect(type.pathname).toBe('/docs/errors')
  const page = await get(type.pathname)
  expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
  const html = await page.text()
  expect(html).toContain(`id="${type.hash.slice(1)}"`)
  expect(html).not.toContain('<script')
  for (const code of Object.keys(errorTable)) expect(html).toContain(`<section id="${code}">`)
})

test('GET /docs/nothing is a problem, and so is a POST', async () => {
  expect((await get('/docs/nothing')).status).toBe(404)
  expect((await fetch(`${world.base()}/docs`, { method: 'POST' })).status).toBe(405)
})

test('GET /api/health 200 with what was checked', async () => {
  const reply = await world.http('GET', '/api/health')
  expect(reply.status).toBe(200)
  expect(reply.body).toMatchObject({ healthy: true, checks: { database: { connected: true } } })
  expect(Date.parse(String(reply.body['checkedAt']))).not.toBeNaN()
})

test('GET /api/health/live 200', async () => {
  expect(await world.http('GET', '/api/health/live')).toMatchObject({ status: 200, body: { alive: true } })
})

test('every answer carries a request id and security headers; a request id that came in is kept', async () => {
  const own = await world.http('GET', '/api/agents', undefined, { 'x-request-id': 'mine-1' })
  expect(own.headers.get('x-request-id')).toBe('mine-1')
  for (const path of ['/api/agents', '/api/agents/nobody', '/api/nothing', '/api/health']) {
    const { headers } = await world.http('GET', path)
    expect(headers.get('x-request-id'), path).toBeTruthy()
    expect(headers.get('x-content-type-options'), path).toBe('nosniff')
    expect(headers.get('cache-control'), path).toBe('no-store')
  }
})

test('403 to a page of another origin and to a name that is not loopback', async () => {
  const foreign = await world.http('GET', '/api/agents', undefined, { origin: 'https://evil.example' })
  expect([foreign.status, foreign.body['code'], foreign.headers.get('access-control-allow-origin')]).toEqual([403, 'forbidden', null])
  const tunnel = await world.http('GET', '/api/agents', undefined, { 'x-forwarded-host': 'abc.tunnel.example' })
  expect([tunnel.status, tunnel.body['code']]).toEqual([403, 'forbidden'])
})
