import { expect, test } from 'vitest'
import { BatonError } from '#client/errors'
import type { BatonEvent } from '#client/events'
import { sentMessage } from '#client/sent'

test('who may not read runs is told by the events what a pause still waits for: what was decided before it is not among it', async () => {
  const about = { channel: 'control', at: '2026-01-01T00:00:00Z', runId: 'run_1', step: 1 }
  const told = [
    { seq: 1, type: 'approval_required', approvalId: 'apr_1', tool: 'echo', ...about },
    { seq: 2, type: 'approval_required', approvalId: 'apr_2', tool: 'charge', ...about },
    { seq: 3, type: 'approval_decided', approvalId: 'apr_1', ...about },
    { seq: 4, type: 'state_changed', state: 'paused', ...about },
  ] as unknown as BatonEvent[]
  const forbidden = () => Promise.reject(new BatonError('forbidden', { code: 'forbidden', status: 403 }))
  const sent = sentMessage({
    agentId: 'a',
    idempotencyKey: 'k',
    events(accepted) {
      accepted('run_1')
      return {
        events: (async function* () {
          yield* told
        })(),
        leave: () => undefined,
      }
    },
    getRun: forbidden,
    waitRun: forbidden,
    cancel: forbidden,
  })
  expect(await sent).toMatchObject({ status: 'paused', runId: 'run_1', approvals: [{ id: 'apr_2', tool: 'charge' }], lastSeq: 4 })
})
