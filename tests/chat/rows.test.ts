import { afterAll, beforeAll, expect, test } from 'vitest'
import type { UIMessage } from 'ai'
import { ask, history, send, textOf, type Chatted } from '#tests/chat/kit'
import { runOf, until } from '#tests/engine/helpers'
import { retrieve } from '#tests/responses/kit'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

test('a history of more rows than are read at once stands in its order, each call with its outcome', async () => {
  const said: string[] = []
  for (let turn = 0; turn < 3; turn++) {
    const steps = Array.from({ length: 45 }, (_, n) => ({ text: `${turn}.${n} `, tools: [{ name: 'echo', input: { value: n } }] }))
    await send(world, 'long', script(...steps, { text: 'over' }))
    said.push(`${steps.map(({ text }) => text).join('')}over`)
  }
  expect((await world.agent('long')).messages).toBeGreaterThan(200)
  const messages = await history(world, 'long')
  expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant', 'user', 'assistant'])
  const answers = messages.filter(({ role }) => role === 'assistant')
  expect(answers.map(({ parts }) => parts.map((part) => (part.type === 'text' ? part.text : '')).join(''))).toEqual(said)
  const calls = answers.flatMap(({ parts }) => parts.filter((part) => part.type === 'tool-echo'))
  expect(calls).toHaveLength(135)
  for (const [n, call] of calls.entries()) expect(call).toMatchObject({ state: 'output-available', output: n % 45 })
})

test('stop of a run by its id leaves the one alone that runs since', async () => {
  const before = await send(world, 'named', 'hi')
  const gate = world.gate()
  const running = await world.send('named', script({ text: 'goes on', gate: gate.file }), { prefer: 'respond-async' })
  await until('it is at work', async () => (await world.effects({ runId: runOf(running) })).length > 0)
  const stop = (runId: string | null) => world.http('POST', '/api/chat/named/stop', { runId })
  expect(await stop(before.headers.get('x-baton-run-id'))).toMatchObject({ status: 200, body: { stopped: false } })
  await gate.open()
  expect(await world.ended(runOf(running))).toMatchObject({ state: 'completed', output: 'goes on' })
})

const twoOutside = {
  tools: [
    { name: 'outside', input: {} },
    { name: 'outside', input: {} },
  ],
}

test('results of calls of which each fills a page by its bytes are all taken', async () => {
  await send(world, 'wide', script(twoOutside, { text: 'thanks' }))
  const last = (await history(world, 'wide')).at(-1)
  const parts = (last?.parts ?? []).map((part) => ('toolCallId' in part ? { ...part, state: 'output-available', output: 1 } : part))
  await world.sql(
    `update baton.tool_calls c set input = json_build_object('pad', repeat('x', 2100000)) from baton.agents a where a.agent_uid = c.agent_uid and a.id = 'wide'`,
  )
  const given = await ask(world, '/api/chat', { method: 'POST', body: { id: 'wide', messages: [{ ...last, parts }] } })
  expect(textOf(given.chunks)).toBe('thanks')
})

test('one result of two that come from outside: the stream ends at once, for the run waits for the other', async () => {
  await send(world, 'two-outside', script(twoOutside, { text: 'thanks' }))
  const give = async (which: number) => {
    const messages = await history(world, 'two-outside')
    const last = messages.at(-1)
    let n = 0
    const parts = (last?.parts ?? []).map((part) =>
      'toolCallId' in part && n++ === which ? { ...part, state: 'output-available', output: which } : part,
    )
    return ask(world, '/api/chat', { method: 'POST', body: { id: 'two-outside', messages: [{ ...last, parts } as UIMessage] } })
  }
  const partly = await give(0)
  expect([partly.status, partly.clean, partly.chunks.at(-1)]).toMatchObject([200, true, { type: 'finish', finishReason: 'tool-calls' }])
  expect(await ask(world, '/api/chat/two-outside/stream')).toMatchObject({ status: 200, clean: true })
  expect(textOf((await give(1)).chunks)).toBe('thanks')
})

test('events of which two fill more than a page by their bytes are read to their end: by streams, by counts, in answers to a pause, as a response', async () => {
  await send(world, 'heavy', script({ tools: [{ name: 'outside', input: {} }] }, { text: 'thanks' }))
  const messages = await history(world, 'heavy')
  const last = messages.at(-1)
  const parts = (last?.parts ?? []).map((part) => ('toolCallId' in part ? { ...part, state: 'output-available', output: 1 } : part))
  const body = { id: 'heavy', messages: [...messages.slice(0, -1), { ...last, parts }] }
  const run = (await ask(world, '/api/chat', { method: 'POST', body })).headers.get('x-workflow-run-id')?.split('~')[0] ?? ''
  await world.ended(run)
  const from = (startIndex: number): Promise<Chatted> => ask(world, `/api/chat/${run}/stream?startIndex=${startIndex}`)
  const end = (await from(0)).chunks.length
  const seen = async (): Promise<unknown[]> => {
    const answers: unknown[] = [await retrieve(world, run.replace('run_', 'resp_'))]
    // Where the count did not see the end, nothing would be refused as beyond it.
    for (const startIndex of [0, 8, end, end + 1]) answers.push(await from(startIndex))
    answers.push(await ask(world, '/api/chat', { method: 'POST', body }))
    return answers.map((answer) => ({ ...(answer as object), headers: null }))
  }
  const light = await seen()
  expect(light.slice(1)).toMatchObject([{ status: 200 }, { status: 200 }, { status: 204 }, { status: 400 }, { status: 200, clean: true }])
  const events = await world.sql(
    `with first as (select e.agent_uid, e.seq from baton.events e join baton.agents a using (agent_uid)
      where a.id = 'heavy' and e.type in ('state_changed', 'tool_end') order by e.seq limit 3)
    update baton.events e set data = (e.data::jsonb || jsonb_build_object('pad', repeat('x', 2100000)))::json from first f
    where e.agent_uid = f.agent_uid and e.seq = f.seq returning e.type`,
  )
  expect(events).toHaveLength(3)
  expect(await seen()).toEqual(light)
})
