import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  answered,
  authority,
  commit,
  completed,
  hold,
  ids,
  message,
  ok,
  startStore,
  take,
  type Held,
  type StoreKit,
} from '#tests/store/kit'

/* A retry that waits behind another run, and the files that a run has left in the conversation without an answer. */

let kit: StoreKit
beforeAll(async () => {
  kit = await startStore()
})
afterAll(() => kit.close())

const failedBy = (stopReason: 'bad_request' | 'provider_auth') =>
  ({ end: { state: 'failed', stopReason, output: null, error: { code: stopReason, message: 'x' } } }) as const
const file = { type: 'file', data: 'data:image/heic;base64,AAAA', mediaType: 'image/heic' } as const
const picture = { type: 'image', image: 'data:image/png;base64,AAAA' } as const
const note = { type: 'text', text: expect.stringContaining('image/heic was left out') }
/** What the model is asked with. */
const seen = ({ answer }: Held) => ok(answer).opened?.window.map(({ content }) => content)

/** Retries a run while another one of its agent is at work. */
async function retryBehind(failed: Held): Promise<string> {
  const newRunId = ids.make('run')
  ok(await kit.store.retry(authority, { runId: failed.runId, newRunId, versions: { plain: 'v1' }, settings: null }))
  return newRunId
}
const runOf = async (runId: string) =>
  (await kit.sql(`select state, output, error, stop_note from baton.runs where run_id = $1`, [runId]))[0]

test('a retry behind a run that answers has nothing to go on from: it is cancelled, and tells nothing of that answer', async () => {
  const first = await hold(kit, 'behind', { message: message('user', [file]) })
  await commit(kit, first, {}, failedBy('bad_request'))
  const second = await hold(kit, 'behind')
  const retried = await retryBehind(first)
  await commit(kit, second, answered('for the second alone'), completed)
  expect(await runOf(retried)).toMatchObject({ state: 'cancelled', output: null, error: { code: 'nothing_to_retry' } })
  expect(ok(await kit.store.getAgent(authority, 'behind')).agent).toMatchObject({ state: 'ready', queued: 0 })
  // Nobody has found since that the provider takes the file.
  expect(seen(await hold(kit, 'behind'))?.[0]).toEqual([note])
})

test('a retry behind a run that gives no answer goes on from the history', async () => {
  const first = await hold(kit, 'unanswered')
  await commit(kit, first, {}, failedBy('provider_auth'))
  const second = await hold(kit, 'unanswered')
  const retried = await retryBehind(first)
  await commit(kit, second, {}, failedBy('provider_auth'))
  const third = await take(kit, first.agentUid)
  expect(third.runId).toBe(retried)
  expect(seen(third)).toEqual(['hello unanswered', 'hello unanswered'])
})

test('a file whose own run was stopped is left out, too, once the provider has refused the request that held it', async () => {
  const first = await hold(kit, 'stopped', { message: message('user', [file, picture]) })
  ok(await kit.store.stop(authority, { runId: first.runId }, 'cancelled', null))
  await commit(kit, first, {}, { end: { state: 'cancelled', stopReason: 'cancelled', output: null, error: null } })
  const second = await hold(kit, 'stopped')
  expect(seen(second)).toEqual([[file, picture], 'hello stopped'])
  await commit(kit, second, {}, failedBy('bad_request'))
  expect(seen(await hold(kit, 'stopped'))).toEqual([
    [note, { type: 'text', text: expect.stringContaining('image was left out') }],
    'hello stopped',
    'hello stopped',
  ])
})

test('a file that stands behind an answer is none that the provider refuses', async () => {
  const first = await hold(kit, 'taken', { message: message('user', [file]) })
  await commit(kit, first, answered(), completed)
  await commit(kit, await hold(kit, 'taken'), {}, failedBy('bad_request'))
  expect(seen(await hold(kit, 'taken'))?.[0]).toEqual([file])
})
