import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { acting, templates } from '#tests/approvals/acting'
import { runOf } from '#tests/engine/helpers'
import { poll } from '#local/poll'
import { script, startWorld, type World } from '#tests/world'

let world: World
const { asked, callsOf, charges, decide, eventsOf } = acting(() => world)
beforeAll(async () => {
  world = await startWorld({ env: templates })
})
afterAll(() => world.close())

describe.concurrent('what is done to a run that awaits approval', () => {
  test('enqueue: 202 blockedBy approvals at once; the message comes after the decision', async () => {
    const { runId, approval } = await asked('blocked')
    const before = performance.now()
    const next = await world.send('blocked', 'next', { template: 'asks', prefer: 'wait=25' })
    expect(performance.now() - before).toBeLessThan(25_000)
    expect(next).toMatchObject({
      status: 202,
      body: { run: { state: 'queued' }, blockedBy: 'approvals', blockingRunId: runId, approvals: [{ id: approval.id }] },
    })
    expect((await world.run(runOf(next))).explain).toContain(runId)
    await decide(approval.id, { decision: 'deny' })
    expect(await world.ended(runOf(next))).toMatchObject({ output: 'You said: next' })
  })

  test('enqueue as a stream: a frame says behind what, and the stream ends, whether the run before it was paused or pauses then', async () => {
    const headers = { 'content-type': 'application/json' }
    const streamed = (agent: string, message: string) =>
      world.stream(`/api/agents/${agent}/messages`, { method: 'POST', headers, body: JSON.stringify({ message, template: 'asks' }) })
    const { runId, approval } = await asked('blocked-stream')
    const frames = await streamed('blocked-stream', 'next')
    const run = frames[0]?.data['runId']
    const blocked = {
      type: 'blocked',
      channel: 'control',
      runId: run,
      blockedBy: 'approvals',
      blockingRunId: runId,
      approvals: [{ id: approval.id }],
    }
    expect(frames).toMatchObject([{ event: 'blocked', id: undefined, data: blocked }])
    const body = JSON.stringify({ conversation: 'blocked-stream', model: 'asks', input: 'and then?', stream: true })
    const response = await world.stream('/v1/responses', { method: 'POST', headers, body })
    expect(response.map(({ event }) => event)).toEqual(['response.created', 'response.queued'])
    await decide(approval.id, { decision: 'deny' })
    expect(await world.ended(String(run))).toMatchObject({ output: 'You said: next' })

    const gate = world.gate()
    const works = script({ gate: gate.file, tools: [{ name: 'charge', input: { key: 'later', cents: 1 } }] }, { text: 'over' })
    const first = await world.send('blocked-later', works, { template: 'asks', prefer: 'respond-async' })
    const later = streamed('blocked-later', 'next')
    await poll(async () => (await world.agent('blocked-later')).queued === 1, { everyMs: 20, forMs: 60_000 })
    await gate.open()
    expect(await later).toMatchObject([{ event: 'blocked', data: { blockedBy: 'approvals', blockingRunId: runOf(first) } }])
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

  test('A39 through the API: deny > ask > allow > mode, and the example of the KODE guide', async () => {
    const states = async (agent: string, permission: object, tools: { name: string; input: unknown }[]): Promise<string[]> => {
      expect((await world.http('POST', '/api/agents', { id: agent, template: 'scripted', permission })).status).toBe(201)
      expect((await world.send(agent, script({ tools }, { text: 'x' }), { prefer: 'wait=25' })).body).toMatchObject({ status: 'paused' })
      return (await callsOf(agent)).map((call) => `${call.name} ${call.state}`)
    }
    const used = [
      { name: 'charge', input: { key: 'a39-order', cents: 1 } },
      { name: 'count', input: { key: 'a39-order' } },
      { name: 'echo', input: { value: 1 } },
      { name: 'wait', input: { ms: 1 } },
    ]
    const order = { mode: 'readonly', deny: ['char*'], ask: ['charge', 'count'], allow: ['charge', 'count', 'echo'] }
    expect(await states('a39-order', order, [...used, { name: 'outside', input: {} }])).toEqual([
      'charge denied',
      'count approval_required',
      'echo completed',
      'wait completed',
      'outside denied',
    ])
    // bash_run and fs_write are asked for, fs_read and fs_glob run, anything else is asked for.
    const guide = { mode: 'approval', ask: ['charge', 'count'], allow: ['echo'] }
    expect(await states('a39-guide', guide, used)).toEqual([
      'charge approval_required',
      'count approval_required',
      'echo completed',
      'wait approval_required',
    ])
    expect(await world.effects({ key: 'a39-order' })).toEqual([])
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
    expect(await world.effects({ key: 'a78' })).toEqual([])
    const refused = await world.sql(
      "select reason, scope from baton.audit where agent_id = 'a78' and action = 'tool.call' and decision = 'refused' order by id",
    )
    expect(refused).toEqual([
      { reason: 'deny names charge', scope: 'tool:charge' },
      { reason: 'allow does not name it', scope: 'tool:wait' },
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
