import { expect, test } from 'vitest'
import { endStates, noUsage, openRunStates } from '#lib/core/run'
import { toWebhookPayload, webhookPayload, webhookTypeOf } from '#lib/webhooks/payload'

test('each end has its event, of the open states only awaiting_approval has one', () => {
  expect(Object.fromEntries(endStates.map((state) => [state, webhookTypeOf(state)]))).toEqual({
    completed: 'run.completed',
    failed: 'run.failed',
    budget_exceeded: 'run.failed',
    expired: 'run.failed',
    cancelled: 'run.cancelled',
    killed: 'run.cancelled',
  })
  expect(openRunStates.map(webhookTypeOf)).toEqual([null, null, 'run.awaiting_approval', null])
})

test('the payload keeps to its schema and cuts long output between characters', () => {
  const run = {
    agentId: 'a',
    runId: 'run_1',
    state: 'completed',
    stopReason: 'end_turn',
    usage: noUsage,
    costMicros: 12,
    output: null,
    lastSeq: 7,
  } as const
  const at = new Date('2026-11-21T12:00:00.000Z')
  expect(webhookPayload.parse(toWebhookPayload('run.completed', at, run))).toEqual({
    type: 'run.completed',
    timestamp: '2026-11-21T12:00:00.000Z',
    data: run,
  })

  const cut = toWebhookPayload('run.completed', at, { ...run, output: 'x'.repeat(1_998) + '😀😀' }).data.output
  expect(cut).toBe('x'.repeat(1_998) + '…')
  expect(toWebhookPayload('run.completed', at, { ...run, output: 'x'.repeat(2_000) }).data.output).toHaveLength(2_000)
  expect(webhookPayload.safeParse(toWebhookPayload('run.completed', at, { ...run, output: 'x'.repeat(5_000) })).success).toBe(true)
})
