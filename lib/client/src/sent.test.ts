import { expect, test } from 'vitest'
import { BatonError } from '#client/errors'
import type { BatonEvent } from '#client/events'
import { sentMessage, type SentMessage, type SentParts } from '#client/sent'

const about = { channel: 'control', at: '2026-01-01T00:00:00Z', runId: 'run_1', step: 1 }
const forbidden = () => Promise.reject(new BatonError('forbidden', { code: 'forbidden', status: 403 }))
type Answers = Partial<Pick<SentParts, 'getRun' | 'ask'>>
/** A message whose stream tells this. */
function sentOf(told: unknown[], { getRun = forbidden, ask = forbidden }: Answers): SentMessage {
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
        come: () => undefined,
      }
    },
    getRun,
    ask,
    waitRun: forbidden,
    cancel: forbidden,
  })
}

const usage = {}
const done = { ...about, seq: 9, type: 'done', state: 'completed', stopReason: 'end_turn', output: 'hello', usage, costMicros: 1 }
const run = { agentId: 'a', id: 'run_1', usage, costMicros: 0, lastSeq: 4 }
const reads = (state: string, more: object = {}): SentParts['getRun'] =>
  (() => Promise.resolve({ ...run, state, ...more })) as unknown as SentParts['getRun']
const answers = (status: string, more: object = {}): SentParts['ask'] =>
  (() => Promise.resolve({ ...run, runId: 'run_1', status, ...more })) as unknown as SentParts['ask']

test('a message behind a paused run is paused, too, unless that has gone on meanwhile; also for who may not read runs', async () => {
  const approvals = [{ id: 'apr_1', tool: 'charge' }]
  const blocked = { ...about, type: 'blocked', step: null, blockedBy: 'approvals', blockingRunId: 'run_0', approvals }
  const told = [blocked, done]
  const behind = answers('processing', { approvals, blockedBy: 'approvals', blockingRunId: 'run_0' })
  const paused = {
    status: 'paused',
    runId: 'run_1',
    approvals,
    externalCalls: [],
    blockedBy: 'approvals',
    blockingRunId: 'run_0',
    lastSeq: 4,
  }
  for (const getRun of [reads('queued'), forbidden]) {
    expect(await sentOf(told, { getRun, ask: behind })).toMatchObject(paused)
    expect(await sentOf(told, { getRun, ask: answers('processing') })).toMatchObject({ status: 'done', output: 'hello' })
  }
  expect(await sentOf(told, { getRun: reads('running') })).toMatchObject({ status: 'done', output: 'hello' })
})

test('a pause is told as it stands when the handle is awaited, also again, and to who may not read runs', async () => {
  const told = [
    { seq: 1, type: 'approval_required', approvalId: 'apr_1', tool: 'echo', ...about },
    { seq: 4, type: 'state_changed', state: 'paused', ...about },
    done,
  ]
  const approvals = [{ id: 'apr_2', tool: 'charge' }]
  let ask = answers('paused', { approvals, externalCalls: [] })
  const sent = sentOf(told, { ask: () => ask() })
  const paused = { status: 'paused', runId: 'run_1', approvals, externalCalls: [], lastSeq: 4 }
  expect([await sent, await sent]).toMatchObject([paused, paused])
  ask = answers('processing')
  expect(await sent).toMatchObject({ status: 'done', output: 'hello' })
  const waits = { approvals, wait: null }
  expect(await sentOf(told, { getRun: reads('awaiting_approval', waits) })).toMatchObject(paused)
  expect(await sentOf(told, { getRun: reads('running') })).toMatchObject({ status: 'done' })
})
