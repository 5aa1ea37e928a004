import { expect, test } from 'vitest'
import { z } from 'zod'
import { decideOne } from '#lib/api/approvals'
import { storeResult } from '#lib/api/call-result'
import type { ApprovalView, CallResultRequest, DecideRequest } from '#lib/core/approvals'
import { defineAgent, defineTool } from '#lib/core/define'
import type { LiveFrame, OutboxRow } from '#lib/core/ports'
import { call } from '#lib/core/state.fixture'
import type { Authority, RunView } from '#lib/core/store'
import { deployTemplates } from '#lib/engine/templates'
import { testServices } from '#lib/http/services.fixture'
import { createLive } from '#lib/live/live'

/* What people and the outside bring, as it goes to the database; this one refuses all of it, so that what would follow is of no matter. */

const secret = 'sk-proj-b7T2k9LmX4qW8zR1nV5cY3dJ6hF0sA2eG'
const ask = defineTool({
  name: 'ask',
  description: 'ask',
  input: z.object({ cents: z.number() }),
  output: z.object({ answer: z.string() }),
  effect: 'external',
})
const visit = defineTool({
  name: 'visit',
  description: 'visit',
  input: z.object({ url: z.string().transform((text) => new URL(text)) }),
  output: z.object({ answer: z.string().refine(async (text) => new URL(text).host !== '') }),
  effect: 'external',
})
const refusal = { ok: false as const, code: 'too_late' }

function setUp() {
  const base = testServices()
  const asked: { results: CallResultRequest[]; decisions: DecideRequest[] } = { results: [], decisions: [] }
  const services = {
    ...base,
    live: createLive({ ...base, redis: null, commandTimeoutMs: 1, processId: 'one' }),
    dispatch: () => undefined,
    templates: deployTemplates([defineAgent({ id: 't', model: 'test/model', instructions: 'x', tools: [ask, visit] })], () => null),
    store: {
      callResult: (request: CallResultRequest) => (asked.results.push(request), Promise.resolve(refusal)),
      decide: (_authority: Authority, request: DecideRequest) => (asked.decisions.push(request), Promise.resolve(refusal)),
    },
  }
  return { asked, services }
}

async function give(
  body: Parameters<typeof storeResult>[2],
  tool = 'ask',
): Promise<{ code: unknown; stored: CallResultRequest | undefined }> {
  const { asked, services } = setUp()
  const call = { agentUid: '01a1ff0b-d44e-75fe-bb57-f35014d5ac60', callId: 'call_1', template: 't', tool }
  const code = await storeResult(services, call, body, 'req_1').catch((error: unknown) => Object(error).code)
  return { code, stored: asked.results[0] }
}

test('a result from outside must fit what its tool says of it; nothing is stored of one that does not', async () => {
  expect(await give({ output: { answer: 'yes' } })).toMatchObject({ code: 'too_late', stored: { state: 'completed' } })
  expect(await give({ output: { answer: 7 } })).toEqual({ code: 'validation', stored: undefined })
  expect(await give({ error: 'nobody is in' })).toMatchObject({ stored: { state: 'failed', output: { type: 'error-text' } } })
})

test('who watches the agent hears at once that a result has been stored, and nothing of one that was refused', async () => {
  const agentUid = '01a1ff0b-d44e-75fe-bb57-f35014d5ac60'
  const { services } = setUp()
  const heard: LiveFrame[] = []
  services.live.watch(agentUid, (frame) => heard.push(frame))
  const asked = { agentUid, callId: 'call_1', template: 't', tool: 'ask' }
  const body = { output: { answer: 'yes' } }
  await expect(storeResult(services, asked, body, 'req_1')).rejects.toThrow()
  expect(heard).toEqual([])
  const run = { id: 'run_1', agentUid, step: 2, attempt: 0, lastSeq: 7 } as unknown as RunView
  const taken = { ok: true as const, call: call('ask'), run, epoch: 3, outbox: [] }
  await storeResult({ ...services, store: { callResult: () => Promise.resolve(taken) } }, asked, body, 'req_2')
  expect(heard).toMatchObject([{ runId: 'run_1', epoch: 3, body: { type: 'committed', seq: 7 } }])
})

test('a result from outside is cut as that of a tool is, and what is shown of it shows no secret', async () => {
  const long = await give({ output: { answer: 'x'.repeat(5_000) } })
  expect(JSON.stringify(long.stored?.output).length).toBeLessThan(1_100)
  expect(long.stored?.output).toMatchObject({ type: 'text', value: expect.stringContaining('[cut: ') })
  const { stored } = await give({ output: { answer: `the key is ${secret}` } })
  expect(JSON.stringify(stored?.output)).toContain(secret)
  expect(JSON.stringify(stored?.shownOutput)).toContain('the key is [redacted]')
})

const approval = { id: 'apr_1', state: 'pending', kind: 'permission', template: 't', tool: 'ask', input: { cents: 1 }, fingerprint: '' }
const authority: Authority = { environment: 'test', credential: { operator: { tenant: 'ten', name: 'local' } }, requestId: null }

async function decide(of: object, body: Parameters<typeof decideOne>[3]): Promise<{ code: unknown; taken: DecideRequest | undefined }> {
  const { asked, services } = setUp()
  const code = await decideOne(services, authority, { ...approval, ...of } as ApprovalView, body).catch(
    (error: unknown) => Object(error).code,
  )
  return { code, taken: asked.decisions[0] }
}

test('a decision: no secret in its note, no "always" about what may have happened', async () => {
  expect(await decide({}, { decision: 'allow', note: `use ${secret}` })).toMatchObject({
    code: 'too_late',
    taken: { note: 'use [redacted]' },
  })
  expect(await decide({}, { decision: 'allow', always: true })).toMatchObject({ taken: { always: true } })
  expect(await decide({ kind: 'unknown_outcome' }, { decision: 'allow', always: true })).toEqual({ code: 'validation', taken: undefined })
})

test('a decision that comes too late applies the default, and the request sends on what that wrote', async () => {
  const outbox: OutboxRow[] = [{ id: 'out_1', kind: 'continue', data: { tenantId: 't' }, dueInMs: 0 }]
  const sent: OutboxRow[] = []
  const services = {
    ...setUp().services,
    dispatch: (rows: readonly OutboxRow[]) => void sent.push(...rows),
    store: { decide: () => Promise.resolve({ ...refusal, outbox }) },
  }
  const late = decideOne(services, authority, { ...approval } as unknown as ApprovalView, { decision: 'allow' })
  await expect(late).rejects.toMatchObject({ code: 'too_late' })
  expect(sent).toEqual(outbox)
})

test('an edited input is checked: it may be as large as a message, and fits a tool that is deployed', async () => {
  const large = { cents: 1, note: 'x'.repeat(2_048) }
  expect(await decide({}, { decision: 'allow', input: large })).toEqual({ code: 'body_too_large', taken: undefined })
  expect(await decide({ tool: 'gone' }, { decision: 'allow', input: { cents: 2 } })).toEqual({ code: 'conflict', taken: undefined })
  expect(await decide({ tool: 'gone' }, { decision: 'allow' })).toMatchObject({ code: 'too_late', taken: { decision: 'allow' } })
})

test('what a schema throws is told as what does not fit it', async () => {
  const edit = (url: string) => decide({ tool: 'visit', input: { url: 'nowhere' } }, { decision: 'allow', input: { url } })
  expect(await edit('nowhere')).toEqual({ code: 'validation', taken: undefined })
  expect(await edit('https://example.com')).toMatchObject({ taken: { input: { url: 'https://example.com' } } })
  expect(await decide({ tool: 'visit', input: { url: 'nowhere' } }, { decision: 'allow' })).toEqual({ code: 'conflict', taken: undefined })
  expect(await give({ output: { answer: 'nowhere' } }, 'visit')).toEqual({ code: 'validation', stored: undefined })
  expect(await give({ output: { answer: 'https://example.com' } }, 'visit')).toMatchObject({ stored: { state: 'completed' } })
})
