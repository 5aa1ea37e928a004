import { expect, test } from 'vitest'
import { BatonError } from '#client/errors'
import type { BatonEvent } from '#client/events'
import { sentMessage, type Outcome, type SentParts } from '#client/sent'

const about = { channel: 'control', at: '2026-01-01T00:00:00Z', runId: 'run_1', step: 1 }
const forbidden = () => Promise.reject(new BatonError('forbidden', { code: 'forbidden', status: 403 }))
/** What becomes of a message whose stream tells this. */
function outcomeOf(told: unknown[], getRun: SentParts['getRun']): Promise<Outcome> {
  return sentMessage({
    agentId: 'a',
    idempotencyKey: 'k',
    events(accepted) {
      accepted('run_1')
      return {
        events: (async function* () {
          yield* told as BatonEvent[]
        })(),
        leave: () => undefined,
      }
    },
    getRun,
    waitRun: forbidden,
    cancel: forbidden,
  }).outcome()
}

test('a message behind a paused run is paused, too, unless its turn has come meanwhile; also for who may not read runs', async () => {
  const approvals = [{ id: 'apr_1', tool: 'charge' }]
  const blocked = { ...about, type: 'blocked', step: null, blockedBy: 'approvals', blockingRunId: 'run_0', approvals }
  const done = { ...about, seq: 9, type: 'done', state: 'completed', stopReason: 'end_turn', output: 'hello', usage: {}, costMicros: 1 }
  const run = { agentId: 'a', id: 'run_1', usage: {}, costMicros: 0, lastSeq: 4 }
  const reads = (state: string) => () => Promise.resolve({ ...run, state } as unknown as Awaited<ReturnType<SentParts['getRun']>>)
  const paused = { status: 'paused', runId: 'run_1', approvals, externalCalls: [], blockedBy: 'approvals', blockingRunId: 'run_0' }
  expect(await outcomeOf([blocked, done], reads('queued'))).toMatchObject({ ...paused, lastSeq: 4 })
  expect(await outcomeOf([blocked, done], forbidden)).toMatchObject(paused)
  expect(await outcomeOf([blocked, done], reads('running'))).toMatchObject({ status: 'done', output: 'hello' })
})

test('who may not read runs is told by the events what a pause still waits for: what was decided before it is not among it', async () => {
  const told = [
    { seq: 1, type: 'approval_required', approvalId: 'apr_1', tool: 'echo', ...about },
    { seq: 2, type: 'approval_required', approvalId: 'apr_2', tool: 'charge', ...about },
    { seq: 3, type: 'approval_decided', approvalId: 'apr_1', ...about },
    { seq: 4, type: 'state_changed', state: 'paused', ...about },
  ]
  expect(await outcomeOf(told, forbidden)).toMatchObject({
    status: 'paused',
    runId: 'run_1',
    approvals: [{ id: 'apr_2', tool: 'charge' }],
    lastSeq: 4,
  })
})
