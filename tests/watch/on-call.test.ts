import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { poll } from '#local/poll'
import { adminKey, bearer, startGuarded } from '#tests/access/kit'
import { commandsFor, type Commands } from '#tests/doctor/kit'
import { startFakeProvider, type FakeProvider } from '#tests/fake-provider/server'
import { startProxy, type Proxy } from '#tests/proxy'
import { scrape, type Scrape } from '#tests/watch/kit'
import { script, type Reply, type World } from '#tests/world'

/* Issue "Operate it", Judged by: each part is stopped, and who is on call reads health, metrics, the log and the doctor, and nothing else. */

const metricsToken = 'a-token-for-prometheus-0123456789abcdef'
let world: World
let commands: Commands
let provider: FakeProvider
/** The network between Baton and the model: cut while it leads nowhere. */
let network: Proxy
let isCut = false
beforeAll(async () => {
  provider = await startFakeProvider()
  network = await startProxy(() => (isCut ? '' : provider.baseUrl))
  const model = { ANTHROPIC_API_KEY: 'a-key', ANTHROPIC_BASE_URL: `${network.url}/v1` }
  world = await startGuarded({ ownCluster: true, real: ['models'], env: { BATON_METRICS_TOKEN: metricsToken, ...model } })
  commands = await commandsFor(world, model)
})
afterAll(async () => {
  await world.close()
  await network.close()
  await provider.close()
})

const operator = bearer(adminKey)
const health = (): Promise<Reply> => world.http('GET', '/api/health', undefined, operator)
const status = async (): Promise<unknown> => (await health()).body['status']
const causes = async (): Promise<string[]> => (await health()).body['causes'] as string[]
const becomes = (wanted: string, forMs = 60_000): Promise<boolean> => poll(async () => (await status()) === wanted, { everyMs: 100, forMs })
const log = (): Promise<string> => readFile(join(world.dataDir, 'logs', 'server-0.log'), 'utf8')

/** What somebody on call does about it is said, not only what is broken. */
const cure = /look at|set a valid|npm run/i

interface Read {
  causes: string[]
  metrics: Scrape
  /** Warnings and errors since the part was stopped. */
  lines: string[]
  fails: string[]
}

/** What a machine that stands still for two seconds adds to any cause: whatever the clock does is late. */
const late = /^(?:The clock \(Inngest\)|A run has been due|The outbox)/
const notLate = (told: string[]): string[] => told.filter((cause) => !late.test(cause))

/** Stops something, lets work come, and reads what there is to read when the cause is told; all is well again after it. */
async function stopped(
  part: { stop: () => Promise<void>; start: () => Promise<void> },
  work: () => Promise<void>,
  expected: 'degraded' | 'unhealthy',
  named: RegExp,
): Promise<Read> {
  expect(await becomes('healthy')).toBe(true)
  const from = (await log()).length
  await part.stop()
  try {
    await work()
    expect(await becomes(expected)).toBe(true)
    let told: string[] = []
    const isNamed = async (): Promise<boolean> => (told = await causes()).some((cause) => named.test(cause))
    expect(await poll(isNamed, { everyMs: 100, forMs: 60_000 }), told.join('\n')).toBe(true)
    const metrics = await scrape(world, { headers: bearer(metricsToken) })
    const { code, fails } = await commands.doctor({}, '12')
    expect(code).toBe(1)
    const lines = (await log()).slice(from).split('\n')
    return { causes: told, metrics, fails, lines: lines.filter((line) => /"level":"(warn|error)"/.test(line)) }
  } finally {
    await part.start()
    expect(await becomes('healthy', 40_000)).toBe(true)
  }
}

const ofStack = (name: 'postgres' | 'redis' | 'executor') => ({
  stop: () => world.stack.halt(name),
  start: async () => {
    world.stack.resume(name)
    await world.stack.waitReady()
  },
})
const say = (agent: string, template = 'scripted', prefer = 'wait=5'): Promise<Reply> =>
  world.send(agent, template === 'scripted' ? script({ text: 'x' }) : 'hello', { template, prefer, headers: operator })

const parts = (metrics: Scrape): Record<string, number> =>
  Object.fromEntries(['postgres', 'redis', 'inngest'].map((part) => [part, metrics.of('baton_part_up', { part })]))

test('Redis stopped: named by health, metrics, log and doctor, each with what to do', async () => {
  // Somebody listens: the subscription stands.
  await say('before-redis', 'scripted', 'respond-async')
  const read = await stopped(ofStack('redis'), async () => void (await say('no-redis', 'scripted', 'respond-async')), 'degraded', /^Redis/)
  expect(notLate(read.causes)).toEqual([expect.stringMatching(/^Redis does not answer.*Upstash/)])
  expect(read.causes.join(' ')).toMatch(cure)
  expect(parts(read.metrics)).toEqual({ postgres: 1, redis: 0, inngest: 1 })
  expect(read.lines.join('\n')).toMatch(/Redis .*ECONNREFUSED/)
  expect(read.fails).toEqual([expect.stringMatching(/redis .*not reachable.*ECONNREFUSED.*->/)])
})

test('the executor stopped: Inngest is named, though requests sweep beside', async () => {
  const waits = async () => {
    for (const agent of ['a', 'b']) await say(`no-inngest-${agent}`, 'scripted', 'respond-async')
  }
  const read = await stopped(ofStack('executor'), waits, 'degraded', /^The clock/)
  for (const cause of read.causes) expect(cause).toMatch(/Inngest/)
  expect(read.causes[0]).toMatch(/clock \(Inngest\) has not called.*api\/inngest/)
  expect(read.causes.join(' ')).toMatch(cure)
  expect(parts(read.metrics)).toEqual({ postgres: 1, redis: 1, inngest: 0 })
  expect(read.lines.join('\n')).toMatch(/Inngest did not take 1 of 1 events \(fetch failed \(connect ECONNREFUSED/)
  expect(read.fails[0]).toMatch(/inngest .*does not take events.*ECONNREFUSED.*->/)
  for (const line of read.fails) expect(line).toMatch(/^FAIL inngest/)
})

test('the network to the model cut: the provider is named, not Baton; one answer, and all is well', async () => {
  expect((await say('well', 'basic')).status).toBe(200)
  const model = {
    stop: () => {
      isCut = true
      network.cut()
      return Promise.resolve()
    },
    start: async () => {
      isCut = false
      expect((await say('again', 'basic', 'wait=20')).status).toBe(200)
    },
  }
  const read = await stopped(
    model,
    async () => expect((await say('cut', 'basic', 'wait=20')).body['code']).toBe('provider_unavailable'),
    'degraded',
    /model provider/,
  )
  expect(notLate(read.causes)).toEqual([
    expect.stringMatching(/model provider anthropic has failed 4 calls in a row.*provider_unavailable/),
  ])
  expect(read.causes.join(' ')).toMatch(cure)
  expect(read.metrics.of('baton_model_provider_failures', { provider: 'anthropic', code: 'provider_unavailable' })).toBe(4)
  expect(parts(read.metrics)).toEqual({ postgres: 1, redis: 1, inngest: 1 })
  expect(read.lines.join('\n')).toMatch(/a model call failed.*anthropic\/.*provider_unavailable.*Cannot connect/)
  expect(read.fails).toEqual([expect.stringMatching(/models .*anthropic cannot be reached at 127.0.0.1:.*->.*ANTHROPIC_BASE_URL/)])
  expect((await scrape(world, { headers: bearer(metricsToken) })).of('baton_model_provider_failures')).toBe(0)
})

test('Postgres takes no writes, as at Supabase with a full disk: that is said, and callers are told to come again', async () => {
  // A connection that was opened meanwhile, as the pool here does after 10 s at rest, would go on refusing what the next test writes.
  const alter = (mode: 'on' | 'off') =>
    world.sql(
      `set transaction read write; set default_transaction_read_only = off; alter database ${String(world.stack.info.databaseUrl).split('/').at(-1)} set default_transaction_read_only = ${mode};
      select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
    )
  const disk = { stop: async () => void (await alter('on')), start: async () => void (await alter('off')) }
  const refused = async () => {
    const reply = await say('read-only')
    expect([reply.status, reply.body['code'], reply.headers.get('retry-after')]).toEqual([503, 'database_unavailable', '2'])
    expect((await fetch(`${world.base()}/ready`)).status).toBe(503)
  }
  const read = await stopped(disk, refused, 'unhealthy', /^Postgres/)
  expect(notLate(read.causes)).toEqual([expect.stringMatching(/^Postgres takes no writes.*disk/)])
  expect(read.causes.join(' ')).toMatch(cure)
  expect(parts(read.metrics)).toMatchObject({ postgres: 0, redis: 1 })
  expect(read.lines.join('\n')).toMatch(/read-only transaction/)
  expect(read.fails[0]).toMatch(/^FAIL postgres .*takes no writes.*->.*disk/)
})

test('a secret key that Supabase refuses: the variable is named to callers and to who is on call, and Postgres is not blamed', async () => {
  const functions = 'all functions in schema public'
  const key = {
    stop: async () => void (await world.sql(`revoke execute on ${functions} from service_role`)),
    start: async () => void (await world.sql(`grant execute on ${functions} to service_role; select baton.apply_grants()`)),
  }
  const refused = async () => {
    const { status, body } = await say('no-key')
    expect([status, body['code'], body['detail']]).toEqual([503, 'not_configured', expect.stringContaining('SUPABASE_SECRET_KEY')])
  }
  const read = await stopped(key, refused, 'unhealthy', /^Supabase/)
  expect(notLate(read.causes)).toEqual([expect.stringMatching(/^Supabase refuses the key.*403 42501.*Set SUPABASE_SECRET_KEY/)])
  expect(parts(read.metrics)).toMatchObject({ postgres: 0, redis: 1 })
  expect(read.fails[0]).toMatch(/^FAIL postgres .*may not call.*->.*secret key/)
})

test('Postgres stopped: named by all four, the metrics too, and no counter looks as if it had begun anew', async () => {
  const read = await stopped(
    ofStack('postgres'),
    async () => expect((await say('no-postgres')).body['code']).toBe('database_unavailable'),
    'unhealthy',
    /^Postgres/,
  )
  expect(notLate(read.causes)).toEqual([expect.stringMatching(/^Postgres does not answer \(.+\).*Supabase/)])
  expect(read.causes.join(' ')).toMatch(cure)
  expect(read.metrics.of('baton_part_up', { part: 'postgres' })).toBe(0)
  expect(read.metrics.of('baton_part_up', { part: 'redis' })).toBe(1)
  expect(read.metrics.families.map(({ name }) => name)).toEqual(['baton_part_up'])
  expect(read.lines.join('\n')).toMatch(/the database does not answer.*baton_health: 5/)
  for (const line of read.fails) expect(line).toMatch(/^FAIL postgres .*->/)
  expect(read.fails[0]).toMatch(/its database does not/)
  // All parts are back: the doctor has nothing to say any more.
  expect((await commands.doctor({}, '30')).fails).toEqual([])
  expect(parts(await scrape(world, { headers: bearer(metricsToken) }))).toEqual({ postgres: 1, redis: 1, inngest: 1 })
})
