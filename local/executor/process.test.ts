import { fork, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CONTRACT_KEYS, freePort, REAL_INNGEST, World } from '#local/executor/contract-world'
import { hashedSigningKey } from '#local/executor/signing'
import { poll } from '#local/poll'

const ENTRY = join(import.meta.dirname, '..', 'parts', 'executor.ts')
const PATH = process.env['PATH']

describe.skipIf(REAL_INNGEST !== undefined)('the executor process', { timeout: 60_000 }, () => {
  it('listens without its database and without apps, and ends with its parent', async () => {
    const port = await freePort()
    const env = {
      NODE_ENV: 'test' as const,
      PATH,
      EXECUTOR_PORT: String(port),
      EXECUTOR_APP_URLS: `http://127.0.0.1:${await freePort()}`,
      EXECUTOR_DATABASE_URL: `postgres://127.0.0.1:${await freePort()}/x`,
    }
    const child = fork(ENTRY, { env, execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    let output = ''
    child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const healthy = async (): Promise<boolean> => (await fetch(`http://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(1000) })).ok
    expect(await poll(() => healthy().catch(() => false), { everyMs: 50, forMs: 60_000 })).toBe(true)
    expect(output).toContain('no stored offset')
    child.disconnect()
    expect(await once(child, 'exit')).toEqual([0, null])
  })

  it('refuses an environment it cannot use, naming the variable', async () => {
    const child = spawn(process.execPath, [ENTRY], {
      env: { NODE_ENV: 'test', PATH, EXECUTOR_PORT: 'no', EXECUTOR_APP_URLS: ' , ' },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let output = ''
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
    expect(await once(child, 'close')).toEqual([1, null])
    expect(output).toContain('EXECUTOR_PORT')
    expect(output).toContain('EXECUTOR_APP_URLS')
  })
})

describe.skipIf(REAL_INNGEST !== undefined)('its HTTP API', { timeout: 80_000 }, () => {
  const world = new World({ app: { INNGEST_STREAMING: 'true' } })
  beforeAll(() => world.start(), 80_000)
  afterAll(() => world.stop())

  async function post(
    path: string,
    body: unknown,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: Record<string, unknown> }> {
    const init = { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, signal: AbortSignal.timeout(20_000) }
    const response = await fetch(`${world.inngestUrl}${path}`, { ...init, body: typeof body === 'string' ? body : JSON.stringify(body) })
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }
  const eventsPath = `/e/${CONTRACT_KEYS.event}`
  const bearer = { authorization: `Bearer ${hashedSigningKey(CONTRACT_KEYS.signing)}` }

  it('recognises a request that the SDK sends again by its seed', async () => {
    const key = randomUUID()
    const seed = { 'x-inngest-event-id-seed': `${Date.now()},${randomUUID()}` }
    const event = { name: 'contract/plain', data: { key } }
    const [first, second] = [await post(eventsPath, [event, event], seed), await post(eventsPath, [event, event], seed)]
    expect(first.body['ids']).toEqual(second.body['ids'])
    const after = randomUUID()
    await post(eventsPath, { name: 'contract/plain', data: { key: after } })
    await world.noted('plain', after)
    await world.noted('plain', key, 2)
    expect(world.notes('plain', key)).toHaveLength(2)
  })

  it('answers 400, 413, 409 and 501 where they belong', async () => {
    expect((await post(eventsPath, '{')).status).toBe(400)
    expect((await post(eventsPath, { data: {} })).status).toBe(400)
    expect((await post(eventsPath, { name: 'big', data: { text: 'x'.repeat(300_000) } })).status).toBe(413)
    expect((await post('/v1/checkpoint/none/async', { run_id: 'none', qi_id: 'none', steps: [] }, bearer)).status).toBe(409)
    const signal = await post('/v1/signals', { signal: 's' }, bearer)
    expect(signal.status).toBe(501)
    expect(signal.body['error']).toContain('npx inngest-cli dev')
    expect((await post('/fn/register', { url: 'http://127.0.0.1:1/', appName: 'a', functions: [] }, bearer)).status).toBe(400)
    expect((await post('/clock', { offsetMs: 'soon' })).status).toBe(400)
    expect((await post('/chaos', { explode: true })).status).toBe(400)
  })

  it('understands an app that streams its answers', async () => {
    const [key, bad] = [randomUUID(), randomUUID()]
    await post(eventsPath, [
      { name: 'contract/memo-on', data: { key } },
      { name: 'contract/fatal', data: { key: bad } },
    ])
    await world.noted('memo-on:end', key)
    await world.noted('fatal:onFailure', bad)
    expect(world.notes('fatal', bad)).toHaveLength(1)
  })
})
