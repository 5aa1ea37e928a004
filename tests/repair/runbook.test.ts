import { readFileSync, readdirSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findingTable } from '#lib/core/consistency'
import { startStore, type StoreKit } from '#tests/store/kit'

const runbook = readFileSync('docs/runbook.md', 'utf8')
const statements = [...runbook.matchAll(/^```sql\n([\s\S]*?)^```$/gm)].map(([, sql = '']) => sql)

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
  await kit.sql(`insert into baton.tenants (id, environment) values ('ten_default', 'production')`)
  // Agents with 1,500 events each: one idle for 100 days, one that is at home.
  await kit.sql(`insert into baton.agents (agent_uid, tenant_id, environment, id, template, settings, last_event_seq, updated_at)
    select gen_random_uuid(), 'ten_default', 'production', 'idle-' || days, 'plain', '{}', 1500, baton.clock() - make_interval(days => days) from (values (1), (100)) d(days)`)
  await kit.sql(
    `insert into baton.events (agent_uid, tenant_id, seq, channel, type, data) select a.agent_uid, a.tenant_id, n, 'monitor', 'custom', '{}' from baton.agents a, generate_series(1, 1500) n`,
  )
})
afterAll(() => kit.close())

describe('the runbook', () => {
  test('has statements', () => expect(statements.length).toBeGreaterThan(10))

  test.each(statements.map((sql) => [sql.split('\n')[0] ?? '', sql]))('%s', async (_first, sql) => {
    await kit.sql(sql)
  })

  test('a full disk: idle agents are gone, of others the newest 1,000 events stay', async () => {
    const left = await kit.sql(`select a.id, a.first_event_seq::integer as first, count(*)::integer as events, min(e.seq)::integer as oldest
      from baton.agents a join baton.events e using (agent_uid) where a.id like 'idle-%' group by 1, 2`)
    expect(left).toEqual([{ id: 'idle-1', first: 501, events: 1_000, oldest: 501 }])
  })

  test('every call that it names is served', async () => {
    const served = new Set<string>()
    for (const file of readdirSync('lib/api').filter((name) => name.endsWith('.ts') && !/\.(test|fixture)\.ts$/.test(name))) {
      const module = (await import(`../../lib/api/${file.slice(0, -3)}.ts`)) as Record<string, unknown>
      for (const value of Object.values(module))
        if (typeof value === 'object' && value !== null && 'path' in value && 'method' in value)
          served.add(`${String(value.method)} ${String(value.path)}`)
    }
    const pages = runbook + readFileSync('docs/troubleshooting.md', 'utf8') + readFileSync('docs/monitoring.md', 'utf8')
    const named = [...pages.matchAll(/\b(GET|POST|PUT|PATCH|DELETE) (\/api\/[a-zA-Z{}/-]+)/g)].map(
      ([, method, path]) => `${method} ${path}`,
    )
    expect(named.length).toBeGreaterThan(30)
    expect([...new Set(named)].filter((name) => !served.has(name))).toEqual([])
  })
})

test('every code that the database finds is explained, and every code that is explained is found', () => {
  const sql = readFileSync('supabase/migrations/0028_consistency.sql', 'utf8')
  const found = [...sql.matchAll(/baton\.finding\((?:case when [a-z.]+ then )?'([a-z_]+)'(?: else '([a-z_]+)')?/g)].flatMap(
    ([, one, other]) => (other === undefined ? [one] : [one, other]),
  )
  expect(new Set(found)).toEqual(new Set(Object.keys(findingTable)))
})
