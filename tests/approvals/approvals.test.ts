import { createServer, type Server } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ApprovalView } from '#lib/core/approvals'
import { acting, charging, pausedBody, templates } from '#tests/approvals/acting'
import { runOf, until } from '#tests/engine/helpers'
import { script, startWorld, type World } from '#tests/world'

let world: World
let hooks: Server
const told: Record<string, unknown>[] = []
let hookUrl = ''
const { asked, callsOf, charges, decide, eventsOf } = acting(() => world)
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
  // Nobody dies here: a lease that a slow machine does not keep would make a second slice.
  world = await startWorld({ servers: 2, env: { ...templates, BATON_LEASE_MS: '30000' } })
})
afterAll(async () => {
  await world.close()
  hooks.close()
})

describe.concurrent('a call that a person must decide', () => {
  test('A34: the run awaits approval: 202 paused, approval_required, webhook, nothing running', async () => {
    const reply = await world.send('a34', charging('a34'), { template: 'asks', prefer: 'wait=25', webhook: { url: hookUrl } })
    expect(reply.status).toBe(202)
    expect(reply.headers.get('location')).toBe(`/api/runs/${runOf(reply)}`)
    const [approval] = pausedBody(reply).approvals
    expect(pausedBody(reply)).toMatchObject({ status: 'paused', run: { state: 'awaiting_approval' }, externalCalls: [] })
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

  test('always: later asks of this tool run at once, those of others still wait', async () => {
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
    // Taken back by PATCH, which cannot add.
    expect(await world.http('PATCH', '/api/agents/always', { alwaysAllowed: ['count'] })).toMatchObject({
      status: 200,
      body: { alwaysAllowed: [] },
    })
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
    expect(results?.content).toMatchObject([{ toolName: 'charge' }, { toolName: 'echo' }])
  })

  test('decided while the slice is still at work: it goes on without a pause', async () => {
    const gate = world.gate()
    const tools = [
      { name: 'wait', input: { ms: 0, gate: gate.file } },
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
    await gate.open()
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
