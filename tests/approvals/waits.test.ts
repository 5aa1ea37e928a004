import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { templateFile } from '#local/scripted/template'
import { acting, charging, pausedBody, templates } from '#tests/approvals/acting'
import { runOf, until } from '#tests/engine/helpers'
import { script, startWorld, type World } from '#tests/world'

let world: World
const { asked, callsOf, charges, decide, eventsOf } = acting(() => world)
beforeAll(async () => {
  world = await startWorld({ servers: 2, env: { ...templates, BATON_SWEEP_EVERY: '1s' } })
})
afterAll(() => world.close())
vi.setConfig({ testTimeout: 120_000 })

const dayMs = 86_400_000
/** The path of a signed address: worlds ask by path. */
const pathOf = (url: unknown): string => {
  const { pathname, search } = new URL(String(url))
  return pathname + search
}
const outside = script({ tools: [{ name: 'outside', input: {} }] }, { text: 'answered' })
/** A run that waits for the outside, and the address of its call. */
async function waitsOutside(agent: string, message = outside): Promise<{ runId: string; url: string; callId: string }> {
  const reply = await world.send(agent, message, { prefer: 'wait=25' })
  expect(reply).toMatchObject({ status: 202, body: { status: 'paused', approvals: [], run: { state: 'waiting' } } })
  const [call] = pausedBody(reply).externalCalls
  return { runId: runOf(reply), url: pathOf(call?.callbackUrl), callId: call?.callId ?? '' }
}

test('A37: the process dies, a day passes, another process decides: the same call runs once', async () => {
  const { runId, approval } = await asked('a37')
  await world.stack.kill('server-0', 'SIGKILL')
  await world.sql(`select public.baton_local_time('{"advanceMs":${dayMs}}')`)
  const reply = await decide(approval.id, { decision: 'allow' }, 1)
  expect(reply).toMatchObject({ status: 200, body: { callId: approval.callId } })
  await world.stack.waitReady()
  expect(await world.ended(runId)).toMatchObject({ state: 'completed', output: 'over' })
  expect(await charges('a37')).toBe(1)
  const [call] = await callsOf('a37')
  expect(call).toMatchObject({ callId: approval.callId, state: 'completed', attempts: 1 })
  const run = await world.run(runId)
  expect(run.workMs, 'waiting is no work').toBeLessThan(60_000)
})

test('an approval that nobody decides: the default of the template, by the sweeper, with its event', async () => {
  const denied = await asked('expires')
  const allowed = await asked('lenient', 'lenient')
  await world.advance(60_001)
  expect(await world.ended(allowed.runId)).toMatchObject({ state: 'completed' })
  expect(await charges('lenient')).toBe(1)
  expect((await world.http('GET', `/api/approvals/${denied.approval.id}`)).body).toMatchObject({ state: 'pending' })
  await world.advance(7 * dayMs)
  expect(await world.ended(denied.runId)).toMatchObject({ state: 'completed', output: 'over' })
  expect(await charges('expires')).toBe(0)
  // By now retention has taken the first events, so the list would begin with a hole.
  const decided = await world.sql<{ data: object }>(
    "select e.data from baton.events e join baton.agents a using (agent_uid) where a.id = 'expires' and e.type = 'approval_decided'",
  )
  expect(decided.map((row) => row.data)).toMatchObject([{ state: 'expired', decision: 'deny', decidedBy: 'system' }])
  expect(await decide(denied.approval.id, { decision: 'allow' })).toMatchObject({
    status: 410,
    body: { code: 'too_late', state: 'expired' },
  })
})

test('an external call waits for its one signed result', async () => {
  const { runId, url, callId } = await waitsOutside('outside')
  expect(await world.agent('outside')).toMatchObject({ state: 'paused' })
  expect((await world.run(runId)).explain).toContain(callId)
  expect(await callsOf('outside')).toMatchObject([{ state: 'waiting_external', callbackUrl: world.base() + url }])
  expect(await eventsOf('outside', 'tool_start')).toMatchObject([{ callId, effect: 'external' }])
  const bare = `/api/tool-calls/${callId}/result`
  for (const forged of [
    `${bare}?token=x`,
    `${bare}?token=${url.split('token=')[1]?.slice(0, -3)}abc`,
    `/api/tool-calls/call_0/result?${url.split('?')[1]}`,
  ]) {
    expect(await world.http('POST', forged, { output: 1 })).toMatchObject({ status: 401 })
  }
  expect(await world.http('POST', bare, { output: 1 })).toMatchObject({ status: 400 })
  for (const body of [{}, { output: 1, error: 'x' }, { result: 1 }]) expect((await world.http('POST', url, body)).status).toBe(400)
  expect(await world.http('POST', url, { output: { sunny: true } })).toMatchObject({ status: 200, body: { state: 'completed', runId } })
  expect(await world.ended(runId)).toMatchObject({ state: 'completed', output: 'answered' })
  expect(await callsOf('outside')).toMatchObject([{ state: 'completed', attempts: 1, output: { type: 'json', value: { sunny: true } } }])
  expect(await eventsOf('outside', 'tool_end')).toHaveLength(1)
  expect(await world.http('POST', url, { output: 2 })).toMatchObject({ status: 409, body: { code: 'already_decided', state: 'completed' } })
})

test('an error from outside is a failed call that the model sees', async () => {
  const { runId, url } = await waitsOutside('outside-fails')
  expect((await world.http('POST', url, { error: 'no rain today' })).status).toBe(200)
  expect(await world.ended(runId)).toMatchObject({ state: 'completed' })
  expect(await callsOf('outside-fails')).toMatchObject([{ state: 'failed', output: { type: 'error-text', value: 'no rain today' } }])
})

test('nobody outside answers: expired after a day, and the run goes on; a result after that, or after the end, is dropped', async () => {
  const silent = await waitsOutside('silent')
  const ended = await waitsOutside('ended')
  await world.http('POST', `/api/runs/${ended.runId}/cancel`, {})
  expect(await callsOf('ended')).toMatchObject([
    { state: 'sealed', output: { value: expect.stringContaining('may have happened') as string } },
  ])
  expect(await world.http('POST', ended.url, { output: 1 })).toMatchObject({ status: 409, body: { state: 'sealed' } })
  await world.advance(dayMs + 1)
  expect(await world.ended(silent.runId)).toMatchObject({ state: 'completed', output: 'answered' })
  expect(await callsOf('silent')).toMatchObject([{ state: 'failed', output: { value: { errorType: 'expired' } } }])
  expect(await world.http('POST', silent.url, { output: 1 })).toMatchObject({ status: 410, body: { code: 'too_late' } })
  expect(await world.sql('select 1 from baton.external_waits')).toEqual([])
})

test('external and other calls of one answer: the others run at once, one result at a time comes in', async () => {
  const tools = [
    { name: 'outside', input: {} },
    { name: 'echo', input: { value: 1 } },
    { name: 'outside', input: {} },
  ]
  const { runId } = await waitsOutside('several', script({ tools }, { text: 'all' }))
  const calls = (await callsOf('several')) as unknown as { state: string; callbackUrl?: string }[]
  expect(calls.map((call) => call.state)).toEqual(['waiting_external', 'completed', 'waiting_external'])
  await world.http('POST', pathOf(calls[2]?.callbackUrl), { output: 'second' })
  expect(await world.run(runId)).toMatchObject({ state: 'waiting', wait: { kind: 'external' } })
  await world.http('POST', pathOf(calls[0]?.callbackUrl), { output: 'first' })
  expect(await world.ended(runId)).toMatchObject({ output: 'all' })
})

test("unknownOutcome 'pause': a person says what becomes of a once call whose process died", async () => {
  for (const decision of ['allow', 'deny'] as const) {
    const key = `unknown-${decision}`
    await world.stack.waitReady()
    await world.http('POST', '/api/local/crash', { at: 'before', call: 'tool' })
    await world.send(key, charging(key), { template: 'careful', prefer: 'wait=25' }).catch(() => undefined)
    const [row] = await world.sql<{ run_id: string }>(
      'select r.run_id from baton.runs r join baton.agents a using (agent_uid) where a.id = $1',
      [key],
    )
    const runId = row?.run_id ?? ''
    await world.stack.waitReady()
    await until(`${key} is asked about`, async () => (await world.run(runId)).state === 'awaiting_approval', 60_000)
    const [approval] = ((await world.http('GET', `/api/runs/${runId}`)).body['approvals'] ?? []) as { id: string; kind: string }[]
    expect(approval).toMatchObject({ kind: 'unknown_outcome', tool: 'charge' })
    expect((await decide(approval?.id ?? '', { decision })).status).toBe(200)
    expect(await world.ended(runId)).toMatchObject({ state: 'completed', output: 'over' })
    expect(await callsOf(key)).toMatchObject([
      decision === 'allow' ? { state: 'completed', attempts: 2 } : { state: 'sealed', attempts: 1 },
    ])
    // The effects log tells before the effect: the first line is the execution that died.
    expect(await charges(key)).toBe(decision === 'allow' ? 2 : 1)
  }
})

test('a tool that has changed since: the input is looked at again, when it is decided and when it runs', async () => {
  const deploy = async (change: object | null): Promise<void> => {
    const file = join(world.dataDir, templateFile)
    await (change === null ? rm(file, { force: true }) : writeFile(file, JSON.stringify(change)))
    for (const server of [0, 1]) await world.stack.restart(`server-${server}`)
  }
  for (const id of ['changed', 'changed-late']) {
    expect((await world.http('POST', '/api/agents', { id, template: 'scripted', permission: { ask: ['charge'] } })).status).toBe(201)
  }
  const early = await asked('changed', 'scripted', charging('changed', 500))
  const late = await asked('changed-late', 'scripted', charging('changed-late', 500))
  await world.chaos({ holdEvents: true })
  expect((await decide(late.approval.id, { decision: 'allow' })).status).toBe(200)
  await deploy({ chargeAtMost: 100 })
  expect(await decide(early.approval.id, { decision: 'allow' })).toMatchObject({
    status: 409,
    body: { code: 'conflict', problems: [{ path: '/input/cents' }] },
  })
  expect(await decide(early.approval.id, { decision: 'allow', input: { key: 'changed', cents: 100 } })).toMatchObject({ status: 200 })
  await world.chaos({ holdEvents: false, releaseHeld: true })
  await world.ended(early.runId, 60_000)
  await world.ended(late.runId, 60_000)
  expect([await charges('changed'), await charges('changed-late')]).toEqual([1, 0])
  expect(await callsOf('changed-late')).toMatchObject([{ state: 'failed', output: { value: { errorType: 'approval_void' } } }])
  await deploy(null)
})
