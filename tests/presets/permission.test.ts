import { afterAll, beforeAll, expect, test } from 'vitest'
import { localTemplates } from '#local/scripted/extra'
import { script, startWorld, type Reply, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld({ env: localTemplates({ templates: [] }) })
})
afterAll(() => world.close())

const send = (agent: string, tools: object[], overrides: object | undefined, template = 'scripted'): Promise<Reply> =>
  world.http('POST', `/api/agents/${agent}/messages`, {
    message: JSON.stringify({ script: [{ tools }, { text: 'ok' }] }),
    template,
    overrides,
  })
const charge = (key: string) => ({ name: 'charge', input: { key, cents: 1 } })
const echo = { name: 'echo', input: { value: 1 } }
const calls = async (agent: string): Promise<{ name: string; state: string; approval?: unknown }[]> =>
  (await world.http('GET', `/api/agents/${agent}/tool-calls`)).body['data'] as { name: string; state: string }[]

test('a message denies a tool for its own run only', async () => {
  await send('deny', [charge('run-1'), echo], { permission: { deny: ['charge'] } })
  await send('deny', [charge('run-2')], undefined)
  expect((await calls('deny')).map(({ name, state }) => [name, state])).toEqual([
    ['charge', 'denied'],
    ['echo', 'completed'],
    ['charge', 'completed'],
  ])
  expect(await world.effects({ key: 'run-1' })).toEqual([])
  expect(await world.effects({ key: 'run-2' })).toHaveLength(1)
})

test('A84: temporary denies unlisted tools: with a list all others, with an empty one or none every tool', async () => {
  for (const [agent, permission, expected] of [
    ['temp-list', { allow: ['echo'] }, { echo: 'completed', charge: 'denied' }],
    ['temp-empty', { allow: [] }, { echo: 'denied', charge: 'denied' }],
    ['temp-none', undefined, { echo: 'denied', charge: 'denied' }],
  ] as const) {
    const made = await world.http('POST', '/api/agents', {
      id: agent,
      template: 'scripted',
      overrides: { preset: 'temporary', permission },
    })
    expect(made.status, agent).toBe(201)
    expect(await send(agent, [echo, charge(agent)], undefined)).toMatchObject({ status: 200 })
    expect(Object.fromEntries((await calls(agent)).map(({ name, state }) => [name, state]))).toEqual(expected)
    expect(await world.effects({ key: agent })).toEqual([])
  }
})

test('a message cannot allow what its agent does not: the strictest layer wins', async () => {
  const overrides = { permission: { mode: 'readonly' } }
  expect(await world.http('POST', '/api/agents', { id: 'strict', template: 'scripted', overrides })).toMatchObject({ status: 201 })
  await send('strict', [charge('strict'), echo], { permission: { allow: ['charge', 'echo'], mode: 'auto' } })
  expect((await calls('strict')).map(({ name, state }) => [name, state])).toEqual([
    ['charge', 'denied'],
    ['echo', 'completed'],
  ])
})

test('the permission of a message travels with its run through the queue', async () => {
  const gate = world.gate()
  const first = await world.send('queue', script({ tools: [{ name: 'wait', input: { ms: 0, gate: gate.file } }] }, { text: 'first' }), {
    prefer: 'respond-async',
  })
  expect(first.status).toBe(202)
  const queued = await world.http(
    'POST',
    '/api/agents/queue/messages',
    {
      message: JSON.stringify({ script: [{ tools: [charge('queued')] }, { text: 'ok' }] }),
      overrides: { permission: { deny: ['charge'] } },
    },
    { prefer: 'respond-async' },
  )
  await gate.open()
  await world.ended(String(queued.body['runId']))
  expect((await calls('queue')).at(-1)).toMatchObject({ name: 'charge', state: 'denied' })
  expect(await world.effects({ key: 'queued' })).toEqual([])
})

test('A29, A35: a hook that changes what a person has approved denies the call; one that agrees lets it run', async () => {
  for (const [agent, key, state] of [
    ['approved-changed', 'change-me', 'denied'],
    ['approved', 'as-it-is', 'completed'],
  ] as const) {
    const paused = await send(agent, [charge(key)], { permission: { ask: ['charge'] } }, 'hooked')
    expect(paused, agent).toMatchObject({ status: 202, body: { status: 'paused' } })
    const [approval] = paused.body['approvals'] as { id: string }[] | string[]
    const id = typeof approval === 'string' ? approval : approval?.id
    expect((await world.http('POST', `/api/approvals/${id}`, { decision: 'allow' })).status).toBe(200)
    await world.ended(String(paused.body['runId']))
    expect(await calls(agent)).toMatchObject([{ name: 'charge', state }])
    expect((await world.effects({ runId: String(paused.body['runId']) })).filter(({ kind }) => kind === 'tool')).toHaveLength(
      state === 'denied' ? 0 : 1,
    )
  }
})
