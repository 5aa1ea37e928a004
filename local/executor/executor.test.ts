import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PATIENCE_MS, REAL_INNGEST, World } from '#local/executor/contract-world'

// The contract that Baton's functions rely on. Runs against a real Inngest too: INNGEST_CONTRACT_URL=http://127.0.0.1:8288.
describe('the Inngest contract', { timeout: PATIENCE_MS * 2 }, () => {
  const world = new World({ servers: 2 })
  beforeAll(() => world.start(), PATIENCE_MS * 2)
  afterAll(() => world.stop())

  async function send(name: string, data: object = {}, more: object = {}): Promise<string> {
    const key = randomUUID()
    await world.client.send({ name: `contract/${name}`, data: { key, ...data }, ...more })
    return key
  }

  it.each(['memo-on', 'memo-off'])('runs each step of %s once, over sleeps and parallel steps', async (id) => {
    const key = await send(id)
    const [end] = await world.noted(`${id}:end`, key)
    expect(end?.['sum']).toBe(1 + 2 + 3 + 4)
    for (const step of ['a', 'b', 'c', 'd', 'end']) expect(world.notes(`${id}:${step}`, key), step).toHaveLength(1)
  })

  it('enters a checkpointed function fewer times than one without', async () => {
    const on = await send('memo-on')
    const off = await send('memo-off')
    await world.noted('memo-on:end', on)
    await world.noted('memo-off:end', off)
    expect(world.notes('memo-on:entry', on).length).toBeLessThan(world.notes('memo-off:entry', off).length)
  })

  it('goes on in a new request when the checkpointing runtime is over', async () => {
    const key = await send('brief')
    await world.noted('brief:end', key)
    expect(world.notes('brief', key)).toHaveLength(6)
    expect(world.notes('brief:entry', key).length).toBeGreaterThan(1)
  })

  it('delivers the events of one request, filters, and uses every server', async () => {
    const keys = Array.from({ length: 8 }, () => randomUUID())
    await world.client.send(keys.map((key, index) => ({ name: 'contract/plain', data: { key, kind: index === 0 ? 'special' : 'usual' } })))
    for (const key of keys) await world.noted('plain', key)
    await world.noted('filtered', keys[0])
    for (const key of keys.slice(1)) expect(world.notes('filtered', key)).toHaveLength(0)
    if (REAL_INNGEST === undefined) expect(new Set(keys.map((key) => world.notes('plain', key)[0]?.pid)).size).toBe(2)
  })

  it('starts one run for events of the same id', async () => {
    const id = randomUUID()
    const first = await send('plain', {}, { id })
    await world.noted('plain', first)
    const second = await send('plain', {}, { id })
    const third = await send('plain')
    await world.noted('plain', third)
    expect(world.notes('plain', second)).toHaveLength(0)
    expect(world.notes('plain', first)[0]?.['id']).toBe(id)
  })

  it.each(['step', 'function'])('retries an error of the %s until it succeeds', async (where) => {
    const key = await send('flaky', { failures: 2, where })
    await world.noted('flaky:end', key)
    expect(world.notes('flaky', key).map((note) => note['attempt'])).toEqual([0, 1, 2])
  })

  it('gives up after `retries`, and tells it as inngest/function.failed', async () => {
    const key = await send('flaky', { failures: 99, where: 'step' })
    const [failure] = await world.noted('any-failure', key)
    expect(failure?.['message']).toBe('not yet')
    expect(String(failure?.['functionId'])).toContain('flaky')
    expect(world.notes('flaky', key)).toHaveLength(3)
    expect(world.notes('flaky:end', key)).toHaveLength(0)
  })

  it('does not retry a NonRetriableError and calls onFailure', async () => {
    const key = await send('fatal')
    expect((await world.noted('fatal:onFailure', key))[0]?.['message']).toBe('never')
    await world.noted('any-failure', key)
    expect(world.notes('fatal', key)).toHaveLength(1)
  })

  it('lets a function catch the error of a step that failed for good', async () => {
    const key = await send('caught')
    expect((await world.noted('caught:end', key))[0]?.['message']).toBe('step is over')
    expect(world.notes('caught:bad', key)).toHaveLength(1)
  })

  it('waits as long as a RetryAfterError says', async () => {
    const key = await send('later', { afterMs: 3000 })
    const [first, second] = await world.noted('later', key, 2)
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(2990)
  })

  it('runs one request at a time for one concurrency key, in order, and others beside it', async () => {
    const [mine, other] = [randomUUID(), randomUUID()]
    const keys = Array.from({ length: 6 }, (_, index) => ({ key: randomUUID(), group: index === 5 ? other : mine }))
    // In one request: the other must be there before the last of mine.
    await world.client.send(keys.map((data) => ({ name: 'contract/keyed', data })))
    for (const { key } of keys) await world.noted('keyed:stop', key)
    const moments = [...world.notes('keyed:start'), ...world.notes('keyed:stop')]
      .filter((note) => note['group'] === mine)
      .sort((a, b) => a.at - b.at)
    let running = 0
    for (const { what } of moments.toSorted((a, b) => a.at - b.at || (a.what < b.what ? 1 : -1))) {
      running += what === 'keyed:start' ? 1 : -1
      expect(running).toBeLessThanOrEqual(1)
    }
    if (REAL_INNGEST !== undefined) return
    const started = world.notes('keyed:start').filter((note) => note['group'] === mine)
    expect(started.map((note) => note.key)).toEqual(keys.slice(0, 5).map(({ key }) => key))
    const lastOfMine = world.notes('keyed:stop', keys[4]?.key)[0]?.at ?? 0
    expect(world.notes('keyed:start', keys[5]?.key)[0]?.at).toBeLessThan(lastOfMine)
  })

  it('sends events from a step', async () => {
    const key = await send('sender')
    await world.noted('sender:end', key)
    await world.noted('plain', key)
    expect(world.notes('plain', key)).toHaveLength(1)
  })

  it('carries a state too large for a request', async () => {
    const key = await send('large')
    expect((await world.noted('large:end', key))[0]?.['total']).toBe(6_000_000)
    expect(world.notes('large', key)).toHaveLength(4)
  })

  it('starts an event of the near future when its time has come', async () => {
    const ts = Date.now() + 1500
    const key = await send('plain', {}, { ts })
    const [note] = await world.noted('plain', key)
    expect(note?.at).toBeGreaterThanOrEqual(ts)
    expect(note?.['ts']).toBe(ts)
  })

  it.each(['slow-on', 'slow-off'])('runs %s on when its server is killed in the middle of a request', async (id) => {
    const key = await send(id)
    const [work] = await world.noted(`${id}:work`, key)
    const index = world.appProcesses.findIndex(({ pid }) => pid === work?.pid)
    await world.kill(index)
    world.startApp(index)
    await world.noted(`${id}:end`, key)
    expect(world.notes(`${id}:before`, key)).toHaveLength(1)
    expect(world.notes(`${id}:work`, key)).toHaveLength(2)
    await world.ready()
  })

  it.skipIf(REAL_INNGEST !== undefined)('waits for the only servers to come back, without using up attempts', async () => {
    await Promise.all([world.kill(0), world.kill(1)])
    const key = await send('fatal')
    await world.until('the run waits', async () => (await world.state()).pending > 0)
    world.startApp(0)
    world.startApp(1)
    await world.noted('fatal', key)
    await world.ready()
  })
})
