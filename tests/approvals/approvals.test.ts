import { createServer, type Server } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ApprovalView } from '#lib/core/approvals'
import type { ToolCall } from '#lib/core/run'
import { localTemplates } from '#local/scripted/extra'
import { runOf, until } from '#tests/engine/helpers'
import { script, startWorld, type Reply, type World } from '#tests/world'

let world: World
let hooks: Server
const told: Record<string, unknown>[] = []
let hookUrl = ''
beforeAll(async () => {
  hooks = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => (text += chunk.toString()))
    request.on('end', () => {
      told.push(JSON.parse(text) as Record<string, unknown>)
      response.end('ok')
    })
  })
  await new Promise<void>((resolve) => hooks.listen(0, '127.0.0.1', resolve))
  const address = hooks.address()
  hookUrl = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/hook`
  const templates = [
    { id: 'asks', model: 'local/scripted', permission: { mode: 'approval' as const, ask: ['charge'], allow: ['echo', 'wait'] } },
    { id: 'custom', model: 'local/scripted', permission: { mode: 'custom' as const, allow: ['echo'] }, decides: 'by-key' as const },
    { id: 'reads', model: 'local/scripted', permission: { mode: 'readonly' as const } },
  ]
  world = await startWorld({ servers: 2, env: localTemplates({ templates }) })
})
afterAll(async () => {
  await world.close()
  hooks.close()
})

interface PausedBody {
  status: string
  approvals: { id: string; callId: string; tool: string; input: unknown; expiresAt: string }[]
  externalCalls: { callId: string; callbackUrl: string; expiresAt: string }[]
}
const charging = (key: string, cents = 5): string => script({ tools: [{ name: 'charge', input: { key, cents } }] }, { text: 'over' })
const paused = (reply: Reply): PausedBody => reply.body as unknown as PausedBody
const decide = (id: string, body: object, server = 0): Promise<Reply> => world.http('POST', `/api/approvals/${id}`, body, {}, server)
const charges = async (key: string): Promise<number> => (await world.effects({ key })).filter((line) => line.kind === 'tool').length
const callsOf = async (agent: string): Promise<ToolCall[]> =>
  (await world.http('GET', `/api/agents/${agent}/tool-calls`)).body['data'] as ToolCall[]
const eventsOf = async (agent: string, type: string): Promise<Record<string, unknown>[]> =>
  (await world.events(agent)).filter((event) => event.type === type)
/** A run that waits for a decision about `charge`. */
async function asked(
  agent: string,
  template = 'asks',
  message = charging(agent),
): Promise<{ runId: string; approval: PausedBody['approvals'][number] }> {
  const reply = await world.send(agent, message, { template, prefer: 'wait=25' })
  expect(reply).toMatchObject({ status: 202, body: { status: 'paused', run: { state: 'awaiting_approval' } } })
  const [approval] = paused(reply).approvals
  if (approval === undefined) throw new Error('no approval')
  return { runId: runOf(reply), approval }
}

describe.concurrent('a call that a person must decide', () => {
  test('A34: the run awaits approval: 202 paused, approval_required, webhook, nothing running', async () => {
    const reply = await world.send('a34', charging('a34'), { template: 'asks', prefer: 'wait=25', webhook: { url: hookUrl } })
    expect(reply.status).toBe(202)
    expect(reply.headers.get('location')).toBe(`/api/runs/${runOf(reply)}`)
    const [approval] = paused(reply).approvals
    expect(paused(reply)).toMatchObject({ status: 'paused', run: { state: 'awaiting_approval' }, externalCalls: [] })
    expect(approval).toMatchObject({ tool: 'charge', input: { key: 'a34', cents: 5 } })
    expect(Date.parse(approval?.expiresAt ?? '') - Date.now()).toBeGreaterThan(6.9 * 86_400_000)
    expect(await eventsOf('a34', 'approval_required')).toMatchObject([
      { channel: 'control', approvalId: approval?.id, callId: approval?.callId, tool: 'charge', input: { key: 'a34' } },
    ])
    expect(await world.agent('a34')).toMatchObject({ state: 'paused' })
    const run = await world.run(runOf(reply))
    expect(run).toMatchObject({ state: 'awaiting_approval', lease: null, dueAt: null, reservedMicros: 0 })
    expect(run.explain).toContain(approval?.id)
    await until('the webhook is told', () => told.some((hook) => hook['type'] === 'run.awaiting_approval'))
    expect(told.find((hook) => hook['type'] === 'run.awaiting_approval')?.['data']).toMatchObject({
      runId: runOf(reply),
      state: 'awaiting_approval',
      approvals: [{ id: approval?.id, tool: 'charge' }],
    })
    expect(await charges('a34')).toBe(0)
    const rows = await world.sql("select 1 from baton.outbox where data ->> 'runId' = $1 and kind = 'continue'", [runOf(reply)])
    expect(rows).toEqual([])
  })

  test('A35: allow: the tool runs once, approval_decided with decidedBy, the run completes; the same again is a no-op, another is 409', async () => {
    const { runId, approval } = await asked('a35')
    const reply = await decide(approval.id, { decision: 'allow', note: 'fine' })
    expect(reply).toMatchObject({ status: 200, body: { state: 'allowed', decidedBy: 'local', note: 'fine', replayed: false } })
    expect(await world.ended(runId)).toMatchObject({ state: 'completed', output: 'over' })
    expect(await charges('a35')).toBe(1)
    expect(await eventsOf('a35', 'approval_decided')).toMatchObject([
      { channel: 'control', decision: 'allow', decidedBy: 'local', note: 'fine', approvalId: approval.id },
    ])
    expect(await decide(approval.id, { decision: 'allow' })).toMatchObject({ status: 200, body: { replayed: true, state: 'allowed' } })
    expect(await decide(approval.id, { decision: 'deny' })).toMatchObject({
      status: 409,
      body: { code: 'already_decided', state: 'allowed' },
    })
    expect(await charges('a35')).toBe(1)
    const audit = await world.sql(
      "select action, decision, code, actor from baton.audit where run_id = $1 and action in ('tool.call', 'approval.decide') order by id",
      [runId],
    )
    expect(audit.map((row) => Object.values(row).join(' '))).toEqual([
      'tool.call recorded approval_required local',
      'approval.decide recorded allow local',
      'tool.call allowed  local',
      'approval.decide refused already_decided local',
    ])
  })

  test('A36: deny: no effect, the record is denied, the model gets the refusal and answers', async () => {
    const { runId, approval } = await asked('a36')
    expect((await decide(approval.id, { decision: 'deny', note: 'too dear' })).status).toBe(200)
    expect(await world.ended(runId)).toMatchObject({ state: 'completed', output: 'over', modelCalls: 2 })
    expect(await charges('a36')).toBe(0)
    const [call] = await callsOf('a36')
    expect(call).toMatchObject({
      state: 'denied',
      attempts: 0,
      output: { type: 'error-json', value: { errorType: 'denied', note: 'too dear' } },
    })
    const [result] = (await world.messages('a36')).filter((row) => row.role === 'tool')
    expect(JSON.stringify(result?.content)).toContain('too dear')
    expect(await eventsOf('a36', 'tool_end')).toHaveLength(1)
  })

  test('an edited input is validated, bound and run', async () => {
    const { runId, approval } = await asked('edited')
    expect(await decide(approval.id, { decision: 'allow', input: { key: 'edited', cents: 'no' } })).toMatchObject({
      status: 400,
      body: { code: 'validation', problems: [{ path: '/input/cents' }] },
    })
    expect(await decide(approval.id, { decision: 'deny', input: {} })).toMatchObject({ status: 400 })
    expect((await decide(approval.id, { decision: 'allow', input: { key: 'edited', cents: 1 } })).status).toBe(200)
    await world.ended(runId)
    expect(await callsOf('edited')).toMatchObject([{ state: 'completed', input: { cents: 1 }, output: { value: { charged: 1 } } }])
    expect(await decide(approval.id, { decision: 'allow', input: { cents: 1, key: 'edited' } })).toMatchObject({
      status: 200,
      body: { replayed: true },
    })
    expect(await decide(approval.id, { decision: 'allow', input: { key: 'edited', cents: 2 } })).toMatchObject({ status: 409 })
  })

  test('an approval whose call was changed behind it does not run: the input is not the one that was approved', async () => {
    const { runId, approval } = await asked('forged')
    await world.sql(`update baton.tool_calls set input = '{"key":"forged","cents":9999}' where call_id = $1`, [approval.callId])
    await decide(approval.id, { decision: 'allow' })
    await world.ended(runId)
    expect(await charges('forged')).toBe(0)
    expect(await callsOf('forged')).toMatchObject([{ state: 'failed', output: { value: { errorType: 'approval_void' } } }])
  })

  test('always: later asks of this tool run at once, a deny rule still wins', async () => {
    const { runId, approval } = await asked('always')
    expect((await decide(approval.id, { decision: 'allow', always: true })).status).toBe(200)
    await world.ended(runId)
    expect(await world.agent('always')).toMatchObject({ alwaysAllowed: ['charge'] })
    expect(await world.send('always', charging('always'), { template: 'asks', prefer: 'wait=25' })).toMatchObject({
      status: 200,
      body: { output: 'over' },
    })
    expect(await charges('always')).toBe(2)
    const counted = await world.send('always', script({ tools: [{ name: 'count', input: { key: 'x' } }] }), {
      template: 'asks',
      prefer: 'wait=25',
    })
    expect(counted.body).toMatchObject({ status: 'paused' })
  })

  test('allowed calls of an answer run at once, the run pauses for the others; the results enter together in call order', async () => {
    const tools = [
      { name: 'charge', input: { key: 'mixed', cents: 1 } },
      { name: 'echo', input: { value: 'at once' } },
    ]
    const { runId, approval } = await asked('mixed', 'asks', script({ tools }, { text: 'both' }))
    expect((await callsOf('mixed')).map((call) => [call.name, call.state])).toEqual([
      ['charge', 'approval_required'],
      ['echo', 'completed'],
    ])
    expect((await world.messages('mixed')).map((row) => row.role)).toEqual(['user', 'assistant'])
    await decide(approval.id, { decision: 'allow' })
    expect((await world.ended(runId)).output).toBe('both')
    const [results] = (await world.messages('mixed')).filter((row) => row.role === 'tool')
    expect((results?.content as { toolName: string }[]).map((part) => part.toolName)).toEqual(['charge', 'echo'])
  })

  test('decided while the slice is still at work: it goes on without a pause', async () => {
    const tools = [
      { name: 'wait', input: { ms: 2_500 } },
      { name: 'charge', input: { key: 'early', cents: 1 } },
    ]
    const sent = world.send('early', script({ tools }, { text: 'one slice' }), { template: 'asks', prefer: 'wait=25' })
    let id = ''
    await until('an approval is asked for', async () => {
      const reply = await world.http('GET', '/api/approvals?state=pending&agent=early')
      id = (reply.body['data'] as ApprovalView[])[0]?.id ?? ''
      return id !== ''
    })
    expect((await decide(id, { decision: 'allow' }, 1)).status).toBe(200)
    const reply = await sent
    expect(reply).toMatchObject({ status: 200, body: { output: 'one slice' } })
    expect(await world.run(runOf(reply))).toMatchObject({ slices: 1 })
    expect(await charges('early')).toBe(1)
  })

  test('a stream that the message opened ends with the pause', async () => {
    const body = JSON.stringify({ message: charging('streamed'), template: 'asks' })
    const frames = await world.stream('/api/agents/streamed/messages', {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    })
    expect(frames.map((frame) => frame.event)).toContain('approval_required')
    expect(frames.at(-1)?.data).toMatchObject({ type: 'state_changed', state: 'paused', runState: 'awaiting_approval' })
  })

  test('the inbox: filters, pages, newest last', async () => {
    for (const agent of ['inbox-1', 'inbox-2', 'inbox-3']) await asked(agent)
    const list = async (query: string): Promise<{ data: ApprovalView[]; nextCursor: string | null }> =>
      (await world.http('GET', `/api/approvals?${query}`)).body as never
    expect((await list('agent=inbox-2&state=pending')).data).toMatchObject([{ agentId: 'inbox-2', tool: 'charge', state: 'pending' }])
    expect((await list('agent=inbox-2&state=denied')).data).toEqual([])
    expect((await list('agent=inbox-2&tool=echo')).data).toEqual([])
    const { data } = await list('limit=200')
    expect(data.map((row) => row.id)).toEqual(data.map((row) => row.id).toSorted())
    const first = await list('limit=2')
    const second = await list(`limit=2&cursor=${first.nextCursor}`)
    expect([...first.data, ...second.data].map((row) => row.id)).toEqual(data.slice(0, 4).map((row) => row.id))
    expect((await world.http('GET', '/api/approvals?state=maybe')).status).toBe(400)
    expect(await world.http('GET', '/api/approvals/apr_00')).toMatchObject({ status: 404, body: { code: 'approval_not_found' } })
    expect(await decide('apr_00', { decision: 'allow' })).toMatchObject({ status: 404 })
  })
})

describe.concurrent('what is done to a run that awaits approval', () => {
  test('enqueue: 202 blockedBy approvals at once; the message comes after the decision', async () => {
    const { runId, approval } = await asked('blocked')
    const before = performance.now()
    const next = await world.send('blocked', 'next', { template: 'asks', prefer: 'wait=25' })
    expect(performance.now() - before).toBeLessThan(10_000)
    expect(next).toMatchObject({
      status: 202,
      body: { run: { state: 'queued' }, blockedBy: 'approvals', blockingRunId: runId, approvals: [{ id: approval.id }] },
    })
    expect((await world.run(runOf(next))).explain).toContain(runId)
    await decide(approval.id, { decision: 'deny' })
    expect(await world.ended(runOf(next))).toMatchObject({ output: 'You said: next' })
  })

  test('steer: taken in after the decisions', async () => {
    const { runId, approval } = await asked('steered')
    const steered = await world.send('steered', 'also this', { template: 'asks', onBusy: 'steer', prefer: 'wait=25' })
    expect(steered).toMatchObject({ status: 202, body: { status: 'paused', runId, approvals: [{ id: approval.id }] } })
    await decide(approval.id, { decision: 'allow' })
    await world.ended(runId)
    expect((await world.messages('steered')).map((row) => row.role)).toEqual(['user', 'assistant', 'tool', 'user', 'assistant'])
  })

  test('interrupt: approvals are cancelled, calls sealed, then this', async () => {
    const { runId, approval } = await asked('urgent')
    const reply = await world.send('urgent', 'now', { template: 'asks', onBusy: 'interrupt', prefer: 'wait=25' })
    expect(reply).toMatchObject({ status: 200, body: { output: 'You said: now' } })
    expect(await world.run(runId)).toMatchObject({ state: 'cancelled', stopReason: 'interrupted' })
    expect((await world.http('GET', `/api/approvals/${approval.id}`)).body).toMatchObject({ state: 'cancelled' })
    expect(await callsOf('urgent')).toMatchObject([
      { state: 'sealed', output: { value: expect.stringContaining('not executed') as string } },
    ])
    expect(await eventsOf('urgent', 'approval_decided')).toMatchObject([{ state: 'cancelled', decision: null }])
    expect(await decide(approval.id, { decision: 'allow' })).toMatchObject({
      status: 409,
      body: { code: 'already_decided', state: 'cancelled' },
    })
    expect(await charges('urgent')).toBe(0)
  })

  test('reject: 409 naming the approvals', async () => {
    const { approval } = await asked('rejects')
    const reply = await world.send('rejects', 'no', { template: 'asks', onBusy: 'reject' })
    expect(reply).toMatchObject({ status: 409, body: { code: 'agent_busy', state: 'awaiting_approval', approvals: [{ id: approval.id }] } })
  })

  test('cancel and delete leave nothing to decide', async () => {
    const { runId, approval } = await asked('cancelled')
    expect((await world.http('POST', `/api/runs/${runId}/cancel`, {})).status).toBe(200)
    expect(await world.run(runId)).toMatchObject({ state: 'cancelled' })
    expect(await decide(approval.id, { decision: 'allow' })).toMatchObject({ status: 409 })
    const gone = await asked('deleted')
    expect((await world.http('DELETE', '/api/agents/deleted')).status).toBe(204)
    expect(await decide(gone.approval.id, { decision: 'allow' })).toMatchObject({ status: 404 })
    expect(await world.sql('select 1 from baton.approvals where id = $1', [gone.approval.id])).toEqual([])
  })
})

describe.concurrent('rules', () => {
  const tools = ['allow', 'ask', 'deny', 'other'].map((key) => ({ name: 'count', input: { key } }))

  test('A39: a custom function decides what no list names; where it throws the call is denied', async () => {
    const reply = await world.send('a39', script({ tools: [...tools, { name: 'echo', input: { value: 1 } }] }, { text: 'x' }), {
      template: 'custom',
      prefer: 'wait=25',
    })
    expect(reply.body).toMatchObject({ status: 'paused' })
    expect((await callsOf('a39')).map((call) => call.state)).toEqual(['completed', 'approval_required', 'denied', 'denied', 'completed'])
  })

  test('A78 through the API: what allow does not name is denied, deny wins, an empty intersection allows nothing', async () => {
    const permission = { allow: ['c*', 'echo'], deny: ['charge'] }
    expect((await world.http('POST', '/api/agents', { id: 'a78', template: 'scripted', overrides: { permission } })).status).toBe(201)
    const calls = [
      { name: 'count', input: { key: 'k' } },
      { name: 'charge', input: { key: 'a78', cents: 1 } },
      { name: 'wait', input: { ms: 1 } },
    ]
    expect(await world.send('a78', script({ tools: calls }, { text: 'ok' }), { prefer: 'wait=25' })).toMatchObject({ status: 200 })
    expect((await callsOf('a78')).map((call) => [call.name, call.state])).toEqual([
      ['count', 'completed'],
      ['charge', 'denied'],
      ['wait', 'denied'],
    ])
    await world.http('POST', '/api/agents', { id: 'a78-none', template: 'reads', permission: { allow: ['charge'] } })
    await world.send('a78-none', script({ tools: calls }, { text: 'ok' }), { template: 'reads', prefer: 'wait=25' })
    expect((await callsOf('a78-none')).map((call) => call.state)).toEqual(['denied', 'denied', 'denied'])
  })

  test('permission at the top is another name of overrides.permission, and charge is asked for (6-quality)', async () => {
    const created = await world.http('POST', '/api/agents', { id: 'alias', template: 'scripted', permission: { ask: ['charge'] } })
    expect(created).toMatchObject({ status: 201, body: { overrides: { permission: { ask: ['charge'] } } } })
    await asked('alias', 'scripted')
  })

  test('bad rules: every contradiction and every pattern that matches nothing, with its place', async () => {
    const reply = await world.http('POST', '/api/agents', {
      template: 'scripted',
      overrides: { permission: { mode: 'custom', allow: ['charge', 'nope_*'], deny: ['charge'] } },
    })
    expect(reply).toMatchObject({
      status: 400,
      body: {
        code: 'validation',
        problems: [
          { path: '/overrides/permission/allow/0' },
          { path: '/overrides/permission/allow/1' },
          { path: '/overrides/permission/mode' },
        ],
      },
    })
    for (const permission of [{ mode: 'never' }, { ask: ['(a+)+$'] }, { asks: [] }, { deny: 'x' }]) {
      expect((await world.http('POST', '/api/agents', { template: 'scripted', permission })).status).toBe(400)
    }
  })
})
