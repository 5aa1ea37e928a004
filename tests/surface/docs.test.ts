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
