import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { REAL_INNGEST, World } from '#local/executor/contract-world'

const HOUR_MS = 3_600_000

// What only the executor has: a clock to move, chaos, a state to look at, and refusals.
describe.skipIf(REAL_INNGEST !== undefined)('the executor in local mode', { timeout: 80_000 }, () => {
  const world = new World({ app: { EXTRA: 'daily' } })
  let offsetMs = 0
  beforeAll(() => world.start(), 40_000)
  afterAll(() => world.stop())

  async function advance(ms: number): Promise<void> {
    offsetMs += ms
    await world.control('POST', '/clock', { offsetMs })
  }
  async function send(name: string, data: object = {}, more: object = {}): Promise<string> {
    const key = randomUUID()
    await world.client.send({ name: `contract/${name}`, data: { key, ...data }, ...more })
    return key
  }
  const scheduled = async (): Promise<number> => (await world.state()).scheduled

  it('counts a future event on its own clock', async () => {
    await advance(5 * HOUR_MS)
    const before = await scheduled()
    const key = await send('plain', {}, { ts: Date.now() + HOUR_MS })
    expect(await scheduled()).toBe(before + 1)
    await advance(HOUR_MS - 60_000)
    expect(await scheduled()).toBe(before + 1)
    expect(world.notes('plain', key)).toHaveLength(0)
    await advance(61_000)
    await world.noted('plain', key)
  })

  it('sleeps on its own clock', async () => {
    const before = await scheduled()
    const key = await send('dreamer', { until: new Date(Date.now() + 2 * HOUR_MS).toISOString() })
    await world.until('it sleeps', async () => (await scheduled()) === before + 1)
    await advance(HOUR_MS)
    await world.noted('dreamer:hour', key)
    await world.until('it sleeps again', async () => (await scheduled()) === before + 1)
    await advance(2 * HOUR_MS)
    await world.noted('dreamer:end', key)
  })

  it('retries on its own clock', async () => {
    const before = await scheduled()
    const key = await send('later', { afterMs: 10 * HOUR_MS })
    await world.until('it waits', async () => (await scheduled()) === before + 1)
    await advance(10 * HOUR_MS)
    await world.noted('later', key, 2)
  })

  it('forgets an event id after 24 hours', async () => {
    const id = randomUUID()
    const key = await send('plain', {}, { id })
    await world.noted('plain', key)
    await advance(23 * HOUR_MS)
    const early = await send('plain', {}, { id })
    await advance(2 * HOUR_MS)
    const late = await send('plain', {}, { id })
    await world.noted('plain', late)
    expect(world.notes('plain', early)).toHaveLength(0)
  })

  it('fires one tick of a cron for all that a jump passes over', async () => {
    const before = world.notes('daily').length
    await advance(24 * HOUR_MS)
    await world.until('a tick', () => world.notes('daily').length === before + 1)
    await advance(72 * HOUR_MS)
    await world.until('one more', () => world.notes('daily').length === before + 2)
    const key = await send('plain')
    await world.noted('plain', key)
    expect(world.notes('daily')).toHaveLength(before + 2)
  })

  it('drops, doubles, holds and turns round events', async () => {
    await world.control('POST', '/chaos', { dropEvents: 1 })
    const [lost, kept] = [await send('plain'), await send('plain')]
    await world.noted('plain', kept)
    expect(world.notes('plain', lost)).toHaveLength(0)
    await world.control('POST', '/chaos', { duplicateEvents: true })
    const twice = await send('plain', {}, { id: randomUUID() })
    await world.noted('plain', twice, 2)
    await world.control('POST', '/chaos', { duplicateEvents: false, holdEvents: true })
    const group = randomUUID()
    const [first, second] = [await send('keyed', { group }), await send('keyed', { group })]
    expect((await world.state())['chaos']).toMatchObject({ held: 2 })
    await world.control('POST', '/chaos', { holdEvents: false, releaseHeld: true, order: 'reverse' })
    await world.noted('keyed:stop', first)
    expect(
      world
        .notes('keyed:start')
        .filter((note) => note['group'] === group)
        .map((note) => note.key),
    ).toEqual([second, first])
    await world.control('POST', '/chaos', { delayEventsMs: HOUR_MS })
    const late = await send('plain')
    expect(await scheduled()).toBe(1)
    await world.control('POST', '/chaos', { delayEventsMs: 0 })
    await advance(HOUR_MS)
    await world.noted('plain', late)
  })

  it('fails a run that needs what it does not implement, naming the dev server', async () => {
    const key = await send('waiter')
    await world.noted('any-failure', key)
    expect(world.notes('any-failure', key)[0]?.['message']).toContain('npx inngest-cli dev')
  })

  it('refuses a wrong event key, a wrong signing key, web pages and unknown APIs', async () => {
    const post = async (path: string, headers: Record<string, string> = {}): Promise<number> => {
      const init = { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, signal: AbortSignal.timeout(5000) }
      return (await fetch(`${world.inngestUrl}${path}`, { ...init, body: JSON.stringify({ name: 'contract/plain', data: {} }) })).status
    }
    expect(await post('/e/wrong')).toBe(401)
    expect(await post('/fn/register', { authorization: 'Bearer wrong' })).toBe(401)
    expect(await post('/e/contract-event-key', { origin: 'http://localhost:3000' })).toBe(403)
    expect(await post('/v1/signals')).toBe(401)
  })

  it('refuses a configuration it does not implement, keeps the old one, and takes the next', async () => {
    await world.kill(0)
    world.startApp(0, { EXTRA: 'debounce' })
    await world.until('the refusal', async () => ((await world.state()).servers[0]?.problem ?? '').includes('debounce'))
    expect((await world.state()).servers[0]?.problem).toContain('npx inngest-cli dev')
    await world.until('a log line', () => world.executorOutput.includes('npx inngest-cli dev'))
    await world.kill(0)
    world.startApp(0, { EXTRA: 'cron' })
    await world.ready()
    await world.until('three ticks', () => world.notes('tick', 'inngest/scheduled.timer').length >= 3)
  })

  it('comes back empty after a restart, and stops at once on SIGTERM', async () => {
    const { executor } = world
    executor?.kill('SIGTERM')
    expect(executor && (await once(executor, 'exit'))).toEqual([0, null])
    world.startExecutor()
    await world.until('it listens', () =>
      world.control('GET', '/health').then(
        (body) => body['ok'] === true,
        () => false,
      ),
    )
    const key = await send('plain')
    await world.noted('plain', key)
  })
})

describe.skipIf(REAL_INNGEST !== undefined)('signatures', { timeout: 80_000 }, () => {
  it('are what the SDK checks in cloud mode, where it refuses unsigned requests to register', async () => {
    const world = new World({ devMode: false })
    try {
      await world.start()
      expect((await fetch(`${world.appUrls[0]}/api/inngest`, { method: 'PUT', signal: AbortSignal.timeout(5000) })).status).toBe(401)
      const key = randomUUID()
      const data = { key, z: 1, a: { 'ü€😀': [1.5, null, true, 1e21], nested: { b: 2, a: 'line\nbreak' } } }
      await world.client.send({ name: 'contract/memo-on', data })
      await world.noted('memo-on:end', key)
    } finally {
      await world.stop()
    }
  })
})
