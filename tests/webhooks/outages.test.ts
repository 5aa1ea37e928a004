import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { poll } from '#local/poll'
import { startWorld, type World } from '#tests/world'
import { startReceiver, type Receiver } from '#tests/webhooks/receiver'
import { deliveriesOf, newestIs, registerAt } from '#tests/webhooks/world'

let world: World
let receiver: Receiver
beforeAll(async () => {
  ;[world, receiver] = await Promise.all([startWorld(), startReceiver()])
})
afterAll(async () => {
  await receiver.close()
  await world.close()
})

const ping = (id: string): Promise<unknown> => world.http('POST', `/api/webhooks/${id}/test`)
const gone = (id: string): Promise<unknown> => world.http('DELETE', `/api/webhooks/${id}`)

test('receivers of one tenant that never answer hold up none of another tenant, nor those of its other lane', async () => {
  const [key, hash] = ['bt_of-the-other-tenant', createHash('sha256').update('bt_of-the-other-tenant').digest('hex')]
  await world.sql(`insert into baton.tenants (id, environment) values ('ten_other', 'local')`)
  await world.sql(
    `insert into baton.api_keys (id, tenant_id, environment, hash, prefix, name, scopes, created_by) values ('key_other', 'ten_other', 'local', $1, 'bt_', 'x', '{admin}', 'x')`,
    [hash],
  )
  const by = { authorization: `Bearer ${key}` }
  const other = await world.http('POST', '/api/webhooks', { url: receiver.url('/other') }, by)
  const laneOf = async (id: string) => (await world.sql<{ lane: number }>('select hashtext($1) & 1 as lane', [id]))[0]?.lane
  const made: string[] = []
  const inLane = async (lane: number, path: string): Promise<string> => {
    for (;;) {
      const { id } = await registerAt(world, receiver.url(path))
      if ((await laneOf(id)) === lane) return (made.push(id), id)
      await gone(id)
    }
  }
  receiver.behave('/hangs', () => undefined)
  const hanging = [await inLane(0, '/hangs'), await inLane(0, '/hangs'), await inLane(0, '/hangs')]
  const quick = await inLane(1, '/quick')
  for (let n = 0; n < 12; n++) await ping(hanging[n % 3] ?? '')
  await receiver.waitFor('/hangs', 2)
  const since = performance.now()
  for (let n = 0; n < 3; n++) await world.http('POST', `/api/webhooks/${String(other.body['id'])}/test`, undefined, by)
  for (let n = 0; n < 6; n++) await ping(quick)
  await Promise.all([receiver.waitFor('/other', 3), receiver.waitFor('/quick', 6)])
  // The first of them hang still, unless it took the 10 s after which one is given up.
  if (performance.now() - since < 8_000) expect(receiver.of('/hangs')).toHaveLength(2)
  await Promise.all(made.map(gone))
})

test.for(['while the receiver answers', 'before the outcome is recorded'])(
  'kill -9 %s: delivered, with the same id in each attempt',
  async (when) => {
    const path = `/killed-${when.split(' ')[0] ?? ''}`
    const killed = Promise.withResolvers<void>()
    receiver.behave(path, (n, response) => {
      if (n > 0 || when.startsWith('before')) return void response.writeHead(204).end()
      void world.stack.kill('server-0').then(killed.resolve, killed.reject)
    })
    const { id } = await registerAt(world, receiver.url(path))
    if (when.startsWith('before')) await world.http('POST', '/api/local/crash', { at: 'before', call: 'baton_record_delivery' })
    const pid = world.stack.info.pids.servers[0]
    await ping(id)
    await receiver.waitFor(path, 1)
    if (when.startsWith('while')) await killed.promise
    expect(await poll(() => world.stack.info.pids.servers[0] !== pid, { everyMs: 50, forMs: 60_000 })).toBe(true)
    await world.stack.waitReady('server-0')
    // The dead worker held the delivery for a minute; then the sweeper gives it to another.
    await world.advance(61_000)
    const arrivals = await receiver.waitFor(path, 2)
    expect(new Set(arrivals.map((arrival) => arrival.headers['webhook-id'])).size).toBe(1)
    const done = await newestIs(world, id, 'delivered')
    expect(done.log).toMatchObject([
      { attempt: 1, error: expect.stringContaining('died') },
      { attempt: 2, status: 204 },
    ])
    await gone(id)
  },
)

test('a secret that BATON_ENCRYPTION_KEY does not open: nothing is sent, the log says why, and the next attempt waits', async () => {
  const { id, secret } = await registerAt(world, receiver.url('/sealed'))
  await world.sql(
    `update baton.webhook_endpoints set secrets = jsonb_set(secrets, '{0,sealed}', '"v1.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA.AAAA"') where id = $1`,
    [id],
  )
  await ping(id)
  await expect.poll(async () => (await deliveriesOf(world, id))[0]?.log.length, { timeout: 60_000 }).toBe(1)
  const [delivery] = await deliveriesOf(world, id)
  expect(delivery).toMatchObject({ state: 'pending', log: [{ error: expect.stringContaining('BATON_ENCRYPTION_KEY') }] })
  expect((await world.http('GET', `/api/webhooks/${id}`)).body).toMatchObject({ failures: 0, enabled: true })
  expect(receiver.of('/sealed')).toEqual([])
  const logs = await allLogs(world.dataDir)
  expect(logs).toContain('a webhook secret cannot be opened')
  // Neither the secret nor its base64 is anywhere in what the parts have printed, nor in the database in the clear.
  expect(logs).not.toContain(secret.slice('whsec_'.length))
  const kept = await world.sql<{ text: string }>(
    `select (select coalesce(string_agg(e::text, ' '), '') from baton.webhook_endpoints e) || (select coalesce(string_agg(a::text, ' '), '') from baton.audit a) as text`,
  )
  expect(kept[0]?.text).not.toContain(secret.slice('whsec_'.length))
  await gone(id)
})

async function allLogs(folder: string): Promise<string> {
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.log'))
  expect(names.length).toBeGreaterThan(0)
  return (await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))).join('')
}
