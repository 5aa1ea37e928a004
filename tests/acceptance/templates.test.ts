import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { templateFile } from '#local/scripted/template'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld({ servers: 2 })
})
afterAll(() => world.close())
vi.setConfig({ testTimeout: 180_000 })

/** Deploys the scripted template to the servers named: a change of its definition, or null for the original one. */
async function deploy(change: object | null, ...servers: number[]): Promise<void> {
  const file = join(world.dataDir, templateFile)
  await (change === null ? rm(file, { force: true }) : writeFile(file, JSON.stringify(change)))
  for (const server of servers) await world.stack.restart(`server-${server}`)
}

test('A48: a new message to an agent whose template is gone is 409 and leaves nothing; it is taken when the template is back', async () => {
  await world.send('a48-gone', script({ text: 'before' }))
  await deploy({ absent: true }, 0)
  const named = await world.send('a48-gone', script({ text: 'lost' }), { key: 'a48-gone-1' })
  const unnamed = await world.http(
    'POST',
    '/api/agents/a48-gone/messages',
    { message: script({ text: 'lost' }) },
    { 'idempotency-key': 'a48-gone-2' },
  )
  for (const reply of [named, unnamed]) {
    expect(reply.status).toBe(409)
    expect(reply.body).toMatchObject({ code: 'template_missing', template: 'scripted' })
  }
  const other = await world.send('a48-none', script({ text: 'x' }))
  expect([other.status, other.body['code'], other.body['templates']]).toEqual([400, 'template_unknown', ['basic', 'hooked']])
  expect(await world.sql(`select key from baton.idempotency where key like 'a48-gone-%'`)).toEqual([])
  expect(await world.messages('a48-gone')).toHaveLength(2)
  expect((await world.http('GET', '/api/agents/a48-none')).status).toBe(404)
  await deploy(null, 0)
  const back = await world.send('a48-gone', script({ text: 'back' }), { key: 'a48-gone-1' })
  // Another message under the key of a refused one: refused requests leave no key.
  expect(back.body).toMatchObject({ status: 'done', output: 'back' })
})

test('A48: an open run waits while its template is gone, says so, and goes on when it is back', async () => {
  // The slice ends inside the model call, so the second call belongs to another slice, which the executor is kept from.
  await world.chaos({ holdEvents: true })
  const gate = world.gate()
  const open = await world.send(
    'a48-open',
    script({ gate: gate.file, text: 'x', tools: [{ name: 'echo', input: { value: 1 } }] }, { text: 'at last' }),
    { prefer: 'wait=1' },
  )
  expect(open.status).toBe(202)
  const runId = String(open.body['runId'])
  await gate.open()
  await expect.poll(async () => (await world.run(runId)).lease, { timeout: 60_000 }).toBeNull()
  await deploy({ absent: true }, 0, 1)
  await world.chaos({ holdEvents: false, releaseHeld: true })
  await expect.poll(async () => (await world.run(runId)).wait?.kind, { timeout: 60_000 }).toBe('template')
  const waiting = await world.run(runId)
  expect(waiting.state).toBe('waiting')
  expect(waiting.explain).toContain('template scripted is not deployed')
  // It looks again and again, and tells of it once.
  await expect.poll(async () => (await world.run(runId)).wait?.dueAt, { timeout: 60_000, interval: 200 }).not.toBe(waiting.wait?.dueAt)
  const told = (await world.events('a48-open')).filter(({ type, waitKind }) => type === 'state_changed' && waitKind === 'template')
  expect(told).toHaveLength(1)

  await deploy(null, 0, 1)
  const ended = await world.ended(runId, 90_000)
  expect(ended).toMatchObject({ state: 'completed', output: 'at last' })
  expect((await world.effects({ runId })).filter(({ kind }) => kind === 'model')).toHaveLength(2)
})

test('A48: a changed template is used by the next step, and both versions are recorded', async () => {
  await world.chaos({ holdEvents: true })
  const gate = world.gate()
  const open = await world.send(
    'a48-changed',
    script({ gate: gate.file, text: 'x', tools: [{ name: 'echo', input: { value: 1 } }] }, { text: 'new' }),
    { prefer: 'wait=2' },
  )
  const runId = String(open.body['runId'])
  await gate.open()
  await expect.poll(async () => (await world.run(runId)).lease, { timeout: 60_000 }).toBeNull()
  const before = await world.run(runId)
  await deploy({ instructions: 'Play the script, but better.', withoutTools: ['echo'] }, 0, 1)
  await world.chaos({ holdEvents: false, releaseHeld: true })
  const ended = await world.ended(runId, 90_000)
  expect(ended).toMatchObject({ state: 'completed', output: 'new', templateVersionOpened: before.templateVersionOpened })
  expect(ended.templateVersionLast).not.toBe(before.templateVersionOpened)
  expect((await world.agent('a48-changed')).templateVersion).toBe(ended.templateVersionLast)
  // The call was decided before the deploy took its tool away: it is sealed with the reason, not executed.
  const calls = await world.http('GET', '/api/agents/a48-changed/tool-calls')
  expect(calls.body['data']).toMatchObject([{ name: 'echo', state: 'sealed', isError: true }])
  expect(JSON.stringify(calls.body['data'])).toContain('tool_removed')
  expect((await world.effects({ runId })).filter(({ kind }) => kind === 'tool')).toEqual([])
  await deploy(null, 0, 1)
})

test('A48: while two deploys serve at once, either takes a message of an agent the other has resolved', async () => {
  await world.send('a48-rolling', script({ text: 'old' }), { server: 0 })
  const old = (await world.agent('a48-rolling')).templateVersion
  await deploy({ instructions: 'A rolling deploy.' }, 1)
  const replies = []
  for (const server of [1, 0, 1]) {
    const reply = await world.send('a48-rolling', script({ text: `by ${server}` }), { server })
    expect(reply.body).toMatchObject({ status: 'done', output: `by ${server}` })
    replies.push((await world.run(String(reply.body['runId']))).templateVersionOpened)
  }
  expect(replies[1]).toBe(old)
  expect(replies[0]).not.toBe(old)
  expect(replies[2]).toBe(replies[0])
})
