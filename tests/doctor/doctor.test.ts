import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createDatabase, databaseUrlFor, dropDatabase } from '#local/database'
import { adminKey, startGuarded } from '#tests/access/kit'
import { commandsFor, type Commands } from '#tests/doctor/kit'
import type { World } from '#tests/world'

/* The doctor against the embedded stack, whose parts are broken one after the other: it names the part, and says the cure. Parts that are stopped: tests/watch/on-call.test.ts. */

let world: World
let commands: Commands
beforeAll(async () => {
  world = await startGuarded({ ownCluster: true })
  commands = await commandsFor(world)
})
afterAll(() => world.close())

const run: Commands['run'] = (...parameters) => commands.run(...parameters)
const doctor: Commands['doctor'] = (...parameters) => commands.doctor(...parameters)

test('a stack that is well: every part is named, an event makes its round, exit code 0', async () => {
  const { code, out, fails } = await doctor({}, '30')
  expect({ code, fails, out }).toMatchObject({ code: 0, fails: [] })
  for (const part of ['configuration', 'versions', 'postgres', 'redis', 'inngest', 'models', 'webhooks'])
    expect(out).toMatch(new RegExp(`^(ok  |warn) ${part} `, 'm'))
  expect(out).toContain('an event made the round trip')
  expect(out).toContain(`answers at ${String(commands.environment['SUPABASE_URL'])} and a row was written`)
  expect(out).toContain('was written, read and removed')
})

test.each<[string, Record<string, string>, string, RegExp, string[]]>([
  ['a missing variable', { SUPABASE_SECRET_KEY: '' }, '3', /configuration .*SUPABASE_SECRET_KEY is missing .*->/, ['configuration']],
  [
    'a wrong secret key',
    { SUPABASE_SECRET_KEY: `sb_secret_${'x'.repeat(30)}` },
    '3',
    /postgres .*(refuses the secret key|may not call).*->/,
    ['postgres'],
  ],
  [
    'a Supabase that is not there',
    { SUPABASE_URL: 'http://127.0.0.1:9' },
    '3',
    /postgres .*not reachable.*-> .*SUPABASE_URL/,
    ['postgres'],
  ],
  ['a wrong password of the direct connection', { DATABASE_URL: 'wrong' }, '30', /postgres .*password.*->/, ['postgres']],
  ['a wrong Redis token', { UPSTASH_REDIS_REST_TOKEN: 'not-the-token-of-this-one' }, '30', /redis .*refuses the token.*->/, ['redis']],
  ['a wrong event key', { INNGEST_EVENT_KEY: 'not-the-event-key' }, '3', /inngest .*refuses the event key.*->/, ['inngest']],
  [
    'another encryption key',
    { BATON_ENCRYPTION_KEY: Buffer.alloc(32, 7).toString('base64') },
    '30',
    /postgres .*not the one that the stored secrets.*->/,
    ['postgres'],
  ],
])('%s is named with its cure', async (_what, given, wait, expected, areas) => {
  await world.http('POST', '/api/agents', { template: 'scripted' }, { authorization: `Bearer ${adminKey}` })
  const changes = { ...given }
  if (changes['DATABASE_URL'] === 'wrong') {
    const url = new URL(String(commands.environment['DATABASE_URL']))
    url.password = 'not-the-password'
    changes['DATABASE_URL'] = url.toString()
  }
  const { code, out, fails } = await doctor(changes, wait)
  expect({ code, out }).toMatchObject({ code: 1, out: expect.stringMatching(expected) })
  expect([...new Set(fails.map((line) => line.split(/\s+/)[1]))]).toEqual(areas)
})

test('events that come to no function: the app is not registered', async () => {
  await world.chaos({ holdEvents: true })
  const { code, fails } = await doctor({}, '1')
  await world.chaos({ holdEvents: false })
  expect({ code, fails }).toMatchObject({ code: 1, fails: [expect.stringMatching(/inngest .*came to no function.*-> .*Sync the app/)] })
})

test('a migration that is missing, and all of them: both are named', async () => {
  const [row] = await world.sql<{ checksum: string }>(`select checksum from baton.migrations where name like '0028%'`)
  await world.sql(`delete from baton.migrations where name like '0028%'`)
  const one = await doctor({}, '30')
  await world.sql(`insert into baton.migrations (name, checksum) values ('0028_consistency.sql', $1)`, [row?.checksum])
  expect(one.code).toBe(1)
  expect(one.fails).toMatchObject([
    expect.stringMatching(/postgres .*not applied.*0028_consistency.*npm run migrate/),
    expect.stringMatching(/1 migrations are to apply/),
  ])

  const empty = await createDatabase(String(commands.environment['DATABASE_URL']), 'doctor_empty')
  const none = await doctor({ DATABASE_URL: empty }, '30')
  await dropDatabase(databaseUrlFor(String(commands.environment['DATABASE_URL']), 'postgres'), 'doctor_empty')
  expect(none.fails).toMatchObject([expect.stringMatching(/postgres .*\d+ migrations are to apply.*npm run migrate/)])
  await world.sql('alter function public.baton_doctor(jsonb) rename to doctor_away')
  await world.sql('alter function public.baton_has_keys(jsonb) rename to keys_away')
  const gone = await doctor()
  await world.sql('alter function public.doctor_away(jsonb) rename to baton_doctor')
  await world.sql('alter function public.keys_away(jsonb) rename to baton_has_keys')
  expect(gone.fails.join('\n')).toMatch(/postgres .*no functions of Baton.*npm run migrate/)
})

test('what somebody has stopped on purpose is told: a forgotten kill, a disabled endpoint', async () => {
  const operator = { authorization: `Bearer ${adminKey}` }
  expect((await world.http('POST', '/api/kill', { scope: 'tenant', mode: 'hold', reason: 'a test' }, operator)).status).toBeLessThan(300)
  const hook = await world.http('POST', '/api/webhooks', { url: 'http://127.0.0.1:9/hook' }, operator)
  await world.http('PATCH', `/api/webhooks/${String(hook.body['id'])}`, { enabled: false }, operator)
  const { code, out } = await doctor({}, '30')
  await world.http('DELETE', '/api/kill/tenant', undefined, operator)
  await world.http('DELETE', `/api/webhooks/${String(hook.body['id'])}`, undefined, operator)
  expect({ code, out }).toMatchObject({
    code: 0,
    out: expect.stringMatching(/warn postgres .*a hold of scope tenant stands for ten_local: runs wait .*DELETE \/api\/kill\/tenant/),
  })
  expect(out).toMatch(/warn postgres .*1 webhook endpoints are disabled/)
})

test('rights that somebody has widened are named', async () => {
  await world.sql('grant execute on function public.baton_open(jsonb) to anon')
  await world.sql('alter table baton.messages disable row level security')
  const { code, fails } = await doctor({}, '30')
  await world.sql('select baton.apply_grants()')
  expect(code).toBe(1)
  expect(fails).toMatchObject([
    expect.stringMatching(/without row level security: messages.*apply_grants/),
    expect.stringMatching(/may execute: baton_open.*apply_grants/),
  ])
  expect((await doctor({}, '30')).code).toBe(0)
})

test('a deployment from outside: health, key, a real run in the request and one in the background; the agent is gone after', async () => {
  const well = await run('doctor.ts', ['--url', world.base(), '--key', adminKey])
  expect({ code: well.code, out: well.out }).toMatchObject({ code: 0, out: expect.stringContaining('a run in the background ended') })
  expect(await world.sql(`select 1 from baton.agents where id like 'doctor-%'`)).toEqual([])
  const named = await run('doctor.ts', ['--url', world.base(), '--key', adminKey, '--template', 'basic'])
  expect(named.out).toContain('a message to basic was answered with 200')
  const unknown = await run('doctor.ts', ['--url', world.base(), '--key', adminKey, '--template', 'nothing'])
  expect(unknown.fails).toMatchObject([expect.stringMatching(/template_unknown/)])
  const refused = await run('doctor.ts', ['--url', world.base(), '--key', 'bt_wrong'])
  expect(refused).toMatchObject({ code: 1, fails: [expect.stringMatching(/the key is refused.*->/)] })
  const away = await run('doctor.ts', ['--url', 'http://127.0.0.1:9', '--key', 'x'])
  expect(away).toMatchObject({ code: 1, fails: [expect.stringMatching(/not reachable.*->/)] })
  const plain = await run('doctor.ts', ['--url', 'http://example.com', '--key', 'x'])
  expect(plain.fails).toMatchObject([expect.stringMatching(/without TLS/)])
})

test('fsck and export as commands: findings with their meaning, a repair, exit codes, a file of lines', async () => {
  const bearer = { authorization: `Bearer ${adminKey}` }
  await world.http('POST', '/api/agents/checked/messages', { message: 'hello', template: 'scripted' }, bearer)
  expect(await run('fsck.ts', ['checked'])).toMatchObject({ code: 0, out: expect.stringContaining('checked: all is well') })
  await world.sql(`update baton.agents set queued = 5 where id = 'checked'`)
  // Of another tenant nothing is mended, and nobody's agents are looked at for its own.
  const elsewhere = ['--tenant', 'ten_elsewhere']
  expect(await run('fsck.ts', ['--all', '--repair', ...elsewhere])).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^0 agents .* 0 findings/),
  })
  expect((await run('fsck.ts', ['checked', ...elsewhere])).code).toBe(2)
  const found = await run('fsck.ts', ['--all'])
  expect(found).toMatchObject({
    code: 1,
    out: expect.stringMatching(/ten_local\/checked {2}counter_differs .*"queued"[\s\S]*Repair: It is counted again/),
  })
  expect(await run('fsck.ts', ['--all', '--repair'])).toMatchObject({ code: 0, out: expect.stringMatching(/1 findings, 0 left/) })
  expect((await run('fsck.ts', ['--all'])).code).toBe(0)
  expect(await run('fsck.ts', ['nobody'])).toMatchObject({ code: 2, out: expect.stringContaining('agent_not_found') })
  expect(await run('fsck.ts', [])).toMatchObject({ code: 2, out: expect.stringContaining('Usage') })
  const exported = await run('export.ts', ['agent:checked'])
  const lines = exported.out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string })
  expect(lines.filter(({ type }) => type === 'message')).toHaveLength(2)
  expect(lines.at(-1)).toMatchObject({ type: 'end', data: { lines: lines.length - 1 } })
  // An earlier export stays until a new one is whole: it may be the only copy of what has been deleted since.
  const file = join(world.dataDir, 'export.jsonl')
  await writeFile(file, 'an earlier export', { mode: 0o644 })
  expect((await run('export.ts', ['agent:nobody', '--out', file])).code).toBe(1)
  const typo = await run('export.ts', ['tenant', '--tenant', 'ten_typo', '--out', file])
  expect(typo).toMatchObject({ code: 1, out: expect.stringContaining('Nothing is kept of tenant') })
  expect(await readFile(file, 'utf8')).toBe('an earlier export')
  expect((await run('export.ts', ['agent:checked', '--out', file])).code).toBe(0)
  expect(await readFile(file, 'utf8')).toBe(exported.out)
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  await expect(stat(`${file}.part`)).rejects.toThrow('ENOENT')
  // Without any variable the stack of a folder is found.
  const folder = { SUPABASE_URL: '', SUPABASE_SECRET_KEY: '', BATON_ENCRYPTION_KEY: '' }
  expect((await run('fsck.ts', ['checked', '--local', world.dataDir], folder)).code).toBe(0)
})
