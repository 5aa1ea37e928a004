import { afterAll, beforeAll, expect, test } from 'vitest'
import { askedCall, paused } from '#tests/approvals/kit'
import { authority, hold, ok, startStore, type StoreKit } from '#tests/store/kit'

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

test('a list ends a page at its bytes in the database: with one row at least, and by its pages everything is told once', async () => {
  const held = await paused(kit, 'by-bytes', [askedCall(0), askedCall(1), askedCall(2)])
  for (const at of [1, 2]) await hold(kit, `by-bytes-${at}`)
  const { agentUid } = held
  type Asked = { limit: number; bytes?: number; after: never }
  const lists: Record<string, (asked: Asked) => Promise<{ keys: unknown[]; more: boolean }>> = {
    'tool calls': async (asked) => {
      const page = await kit.store.listToolCalls({ agentUid, ...asked })
      return { keys: page.data.map(({ callId }) => callId), more: page.more }
    },
    runs: async (asked) => {
      const page = await kit.store.listRuns(authority, asked)
      return { keys: page.data.map(({ id }) => id), more: page.more }
    },
    approvals: async (asked) => {
      const page = ok(await kit.store.listApprovals(authority, asked))
      return { keys: page.data.map(({ id }) => id), more: page.more }
    },
    events: async (asked) => {
      const page = ok(await kit.store.listEvents({ agentUid, ...asked }))
      return { keys: page.data.map(({ seq }) => seq), more: page.more }
    },
  }
  for (const [name, list] of Object.entries(lists)) {
    const all = await list({ limit: 100, after: null as never })
    expect([name, all.keys.length > 2, all.more]).toEqual([name, true, false])
    expect(await list({ limit: all.keys.length, after: null as never })).toEqual({ ...all, more: true })
    expect(await list({ limit: 100, bytes: 1_000_000, after: null as never })).toEqual(all)
    const told: unknown[] = []
    for (let more = true; more;) {
      const page = await list({ limit: 100, bytes: 1, after: (told.at(-1) ?? null) as never })
      expect([name, page.keys.length]).toEqual([name, 1])
      told.push(...page.keys)
      more = page.more
    }
    expect(told, name).toEqual(all.keys)
  }
  // Two events of 40 bytes of data fit into what one of 1,000 takes.
  const sizes = await kit.sql<{ seq: number }>(
    `update baton.events set data = json_build_object('text', repeat('x', case when seq = $2 then 900 else 40 end)) where agent_uid = $1 returning seq::integer`,
    [agentUid, 3],
  )
  const page = ok(await kit.store.listEvents({ agentUid, after: 0, limit: 100, bytes: 1_000 }))
  expect([page.data.map(({ seq }) => seq), page.more, sizes.length > 3]).toEqual([[1, 2], true, true])
})
