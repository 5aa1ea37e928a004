import { expect, test } from 'vitest'
import { BatonError } from '#lib/core/errors'
import type { AgentUid } from '#lib/core/ids'
import type { Store } from '#lib/core/pages'
import type { Rpc } from '#lib/store/rpc'
import { createStore } from '#lib/store/store'

const authority = { environment: 'test', credential: { operator: { tenant: 'one', name: 'tester' } }, requestId: null }

/** A store before a door that loses its first reply, or answers as it is told; what was asked, in order. */
function store(answer: object = { ok: false, code: 'conflict' }, lost: BatonError['code'] | null = 'database_unavailable') {
  const asked: [string, object][] = []
  const rpc: Rpc = (name, argument) => {
    asked.push([name, argument])
    const fails = lost !== null && asked.length === 1
    return fails ? Promise.reject(new BatonError(lost, 'The reply was lost.')) : Promise.resolve(answer)
  }
  return { asked, ...createStore(rpc) }
}

/** The verbs that carry ids of the caller's process, as far as their arguments matter here. */
const repeated: [string, (store: Store) => Promise<unknown>][] = [
  ['open', (to) => to.open({} as Parameters<Store['open']>[0])],
  ['claim', (to) => to.claim({} as Parameters<Store['claim']>[0])],
  ['settle', (to) => to.settle({} as Parameters<Store['settle']>[0])],
  ['decide', (to) => to.decide(authority, { approvalId: 'apr_1', decision: 'allow' })],
  ['retry', (to) => to.retry(authority, {} as Parameters<Store['retry']>[1])],
  ['create_key', (to) => to.createKey(authority, {} as Parameters<Store['createKey']>[1])],
  ['rotate_key', (to) => to.rotateKey(authority, 'key_1', {} as Parameters<Store['rotateKey']>[2])],
  ['bootstrap', (to) => to.bootstrap({} as Parameters<Store['bootstrap']>[0])],
]

test.each(repeated)('invariant 3: %s is asked for once more, with the same ids, when its reply was lost', async (verb, call) => {
  const to = store()
  await call(to)
  expect(to.asked.map(([name]) => name)).toEqual([`baton_${verb}`, `baton_${verb}`])
  expect(to.asked[1]?.[1]).toEqual(to.asked[0]?.[1])
  // What was refused was refused: nobody asks again.
  const refusing = store({ ok: false }, 'internal_error')
  await expect(call(refusing)).rejects.toMatchObject({ code: 'internal_error' })
  expect(refusing.asked).toHaveLength(1)
})

test('A86: who asks is the credential, whatever a filter is called, and a page without a size has 200 rows', async () => {
  const filters = { limit: 5, after: null, credential: 'of a filter', environment: 'another' }
  for (const list of ['listAgents', 'listRuns', 'listKeys'] as const) {
    const to = store({ ok: true, data: [] }, null)
    await to[list](authority, filters)
    expect(to.asked[0]?.[1]).toMatchObject({ ...authority, limit: 5 })
    const { limit: _limit, ...without } = filters
    await to[list](authority, without as typeof filters)
    expect(to.asked[1]?.[1]).toMatchObject({ ...authority, limit: 200 })
  }
})

test('on a schema of before an upgrade, whose pages do not say whether there is more, a full one has more behind it', async () => {
  const agentUid = 'a' as AgentUid
  for (const [rows, more] of [[[1, 2], true] as const, [[1], false] as const]) {
    const to = store({ ok: true, data: rows }, null)
    const query = { limit: 2, after: null }
    expect(await to.listEvents({ agentUid, ...query })).toMatchObject({ data: rows, more })
    expect(await to.listToolCalls({ agentUid, ...query })).toMatchObject({ data: rows, more })
    expect(await to.listApprovals(authority, query)).toMatchObject({ data: rows, more })
  }
  const told = store({ ok: true, data: [1], more: true }, null)
  expect(await told.listEvents({ agentUid, limit: 2, after: null })).toMatchObject({ more: true })
})

test('a list that is refused is an error with the code of the refusal; nothing is asked for nothing', async () => {
  const refused = store({ ok: false, code: 'forbidden', needed: 'admin' }, null)
  await expect(refused.listKeys(authority, { limit: 1, after: null })).rejects.toMatchObject({
    code: 'forbidden',
    details: { needed: 'admin' },
  })
  const odd = store({ ok: false, code: 'of another build' }, null)
  await expect(odd.listRuns(authority, { limit: 1, after: null })).rejects.toMatchObject({ code: 'internal_error' })
  const idle = store()
  await idle.outboxSent([])
  expect(idle.asked).toEqual([])
})
