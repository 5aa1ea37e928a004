import { expect, test } from 'vitest'
import type { Log, OutboxRow } from '#lib/core/ports'
import { createDispatcher } from '#lib/queue/dispatch'

const row = (id: string): OutboxRow => ({ id, kind: 'continue', data: { tenantId: 't' }, dueInMs: 0 })

/** A queue whose sends end when the test says so. */
function setUp() {
  const sends: { ids: string[]; end: (error?: Error) => void }[] = []
  const marked: string[][] = []
  const warnings: unknown[] = []
  const log: Log = { info: () => undefined, warn: (_, fields) => void warnings.push(fields), error: () => undefined }
  const dispatcher = createDispatcher({
    queue: {
      send: (rows) =>
        new Promise((resolve, reject) => {
          sends.push({ ids: rows.map(({ id }) => id), end: (error) => (error === undefined ? resolve() : reject(error)) })
        }),
    },
    mark: async (ids) => void marked.push(ids),
    log,
  })
  return { sends, marked, warnings, ...dispatcher }
}

test('a row goes at once; what comes while it is under way goes together after it, once', async () => {
  const { sends, marked, dispatch, settled } = setUp()
  dispatch([])
  dispatch([row('a')])
  for (const id of ['b', 'c', 'd']) dispatch([row(id)])
  expect(sends.map(({ ids }) => ids)).toEqual([['a']])
  const all = settled()
  sends[0]?.end()
  await expect.poll(() => sends.length).toBe(2)
  expect(sends[1]?.ids).toEqual(['b', 'c', 'd'])
  dispatch([row('e')])
  sends[1]?.end()
  await all
  expect(marked).toEqual([['a'], ['b', 'c', 'd']])
  await expect.poll(() => sends.length).toBe(3)
  sends[2]?.end()
  await settled()
  expect(marked.at(-1)).toEqual(['e'])
  dispatch([row('f')])
  expect(sends.at(-1)?.ids).toEqual(['f'])
})

test('a batch that fails is told of and not marked, and the next one goes', async () => {
  const { sends, marked, warnings, dispatch, settled } = setUp()
  dispatch([row('a')])
  dispatch([row('b')])
  sends[0]?.end(new Error('Inngest is away'))
  await expect.poll(() => sends.length).toBe(2)
  sends[1]?.end()
  await settled()
  expect(marked).toEqual([['b']])
  expect(warnings).toEqual([{ rows: 1, error: 'Inngest is away' }])
})

test('settled waits for what was taken before and not for what comes later', async () => {
  const { sends, dispatch, settled } = setUp()
  dispatch([row('a')])
  let over = false
  const waited = settled().then(() => (over = true))
  dispatch([row('b')])
  expect(over).toBe(false)
  sends[0]?.end()
  await waited
  await expect.poll(() => sends.length).toBe(2)
  sends[1]?.end()
  await settled()
})
