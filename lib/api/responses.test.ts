import { expect, test } from 'vitest'
import { ask } from '#lib/api/ask.fixture'
import { createResponse } from '#lib/api/responses'
import { defineAgent } from '#lib/core/define'
import { unlimited } from '#lib/core/rate'
import { noUsage } from '#lib/core/run'
import type { OpenRequest } from '#lib/core/store'
import { deployTemplates } from '#lib/engine/templates'
import { testServices } from '#lib/http/services.fixture'

const templates = deployTemplates([defineAgent({ id: 't', model: 'test/model', instructions: '' })], () => null)
const createdAt = '2026-01-01T00:00:00Z'
const ended = (id: string, state: string, output: string | null) => ({
  id: `run_${id.repeat(32)}`,
  agentId: 'a',
  agentUid: 'uid',
  template: 't',
  state,
  stopReason: state === 'completed' ? 'end_turn' : 'cancelled',
  slices: 1,
  usage: noUsage,
  costMicros: 0,
  error: null,
  output,
  metadata: { of: id },
  firstSeq: 1,
  lastSeq: 9,
  createdAt,
  endedAt: createdAt,
})
type Run = ReturnType<typeof ended>

/** A response whose message is accepted as the answer says, the rows of runs by their ids, and which events are kept. */
async function created(answer: { run: Run } & Record<string, unknown>, runs: (id: string) => Run, events: object): Promise<unknown[]> {
  const services = testServices()
  const accepted = { ok: true, tenant: 't', agentUid: 'uid', template: 't', replayed: false, blockedBy: null, outbox: [], reader: null }
  let own = ''
  const parts = {
    ...services,
    templates,
    rates: { ...services.rates, agent: () => Promise.resolve({ verdict: unlimited, beside: null }) },
    dispatch: () => undefined,
    live: { watch: () => () => undefined },
    store: {
      open(request: OpenRequest) {
        own = request.run.id
        return Promise.resolve({ ...accepted, mayRead: true, fromSeq: 5, ...answer })
      },
      getRun: (_authority: unknown, id: string) =>
        Promise.resolve({ ok: true, run: runs(id === own ? 'own' : id), previousRunId: `run_${'0'.repeat(32)}`, switch: null }),
      listEvents: () => Promise.resolve(events),
    },
  }
  const reply = await ask(createResponse, '/v1/responses', parts, { body: { conversation: 'a', input: 'hi' } })
  const { id, status, output, metadata, error } = (await reply.json()) as Record<string, unknown>
  const text = (output as { content: { text: string }[] }[] | undefined)?.[0]?.content[0]?.text
  return [reply.status, id, status, text, metadata, error]
}

const noLongerKept = { ok: false, code: 'cursor_expired', oldestSeq: 10 }

test('the answer to a message is of the run that it came to, where the one that it steers ended before it could enter', async () => {
  const steered = ended('1', 'cancelled', 'of another message')
  const own = ended('2', 'completed', 'the answer')
  const runs = (id: string) => (id === steered.id ? steered : own)
  const id = `resp_${'2'.repeat(32)}`
  expect(await created({ run: steered }, runs, noLongerKept)).toEqual([200, id, 'completed', 'the answer', { of: '2' }, null])
  // Whoever may not read it is told of a run that others have begun what answers the message, and no more.
  const unread = { run: steered, mayRead: false, reader: 'user' }
  expect(await created(unread, runs, noLongerKept)).toEqual([200, id, 'completed', 'the answer', {}, null])
})

test('a repeat after the first events are gone is answered from the row, as a retrieve is', async () => {
  const run = ended('1', 'completed', 'long ago')
  const of = [200, `resp_${'1'.repeat(32)}`, 'completed', 'long ago', { of: '1' }, null]
  expect(await created({ run, replayed: true }, () => run, noLongerKept)).toEqual(of)
})
