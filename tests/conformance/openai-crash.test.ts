import type OpenAI from 'openai'
import type { ResponseStreamEvent } from 'openai/resources/responses/responses'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeKey, startGuarded } from '#tests/access/kit'
import { poll } from '#local/poll'
import { script, type World } from '#tests/world'
import { clientOf, drain, faultsOf, finalOf, runOf, textOf } from './openai-kit.ts'

/** A function may run for 10 s here, so that its deadline comes in the middle of an answer. */
const env = { BATON_MAX_DURATION_MS: '12000', BATON_HARD_MARGIN_MS: '2000', BATON_LEASE_MS: '15000' }

let world: World
let key: string
let openai: OpenAI
beforeAll(async () => {
  world = await startGuarded({ env })
  key = (await makeKey(world, ['agents:read', 'agents:run'])).key
  openai = clientOf(world, key)
})
afterAll(() => world.close())

const model = 'scripted'

/** As an application does it: whenever the stream breaks, it is continued after the last number seen, until the response has ended. */
async function follow(
  first: AsyncIterable<ResponseStreamEvent>,
  onEvent: (event: ResponseStreamEvent, index: number) => void | Promise<void> = () => undefined,
): Promise<{ events: ResponseStreamEvent[]; breaks: number }> {
  const events: ResponseStreamEvent[] = []
  let breaks = 0
  let stream: AsyncIterable<ResponseStreamEvent> | null = first
  const until = Date.now() + 50_000
  while (Date.now() < until) {
    if (stream !== null) {
      const { broken } = await drain(stream, events, (event) => onEvent(event, events.length))
      if (broken === null) return { events, breaks }
      breaks += 1
    }
    const created = events.find((event) => event.type === 'response.created')
    if (created === undefined) throw new Error('the stream broke before its first event')
    const position = { stream: true as const, starting_after: events.at(-1)?.sequence_number ?? 0 }
    stream = await openai.responses.retrieve(created.response.id, position).catch(() => null)
    if (stream === null) await new Promise((resolve) => setTimeout(resolve, 200))
  }
  throw new Error(`not ended after ${events.length} events and ${breaks} breaks`)
}

async function stored(id: string): Promise<unknown> {
  const [row] = await world.sql<{ output: string | null }>('select output from baton.runs where run_id = $1', [runOf(id)])
  return row?.output
}

const long = Array.from({ length: 30 }, (_, index) => `word ${index} — ü😀 `).join('')

/** The server dies, and what it held is over at once. */
async function kill(): Promise<void> {
  process.kill(world.stack.info.pids.servers[0] ?? 0, 'SIGKILL')
  await world.sql('update baton.agents set lease_until = baton.clock() where lease_until > baton.clock()')
}

test('the function ends in the middle of an answer: the stream breaks, and goes on elsewhere to the stored text', async () => {
  const input = script({ tools: [{ name: 'wait', input: { ms: 5_000 } }] }, { text: long, chunks: 20, chunkDelayMs: 400 })
  const { events, breaks } = await follow(await openai.responses.create({ model, input, stream: true }))
  const final = finalOf(events)
  expect(breaks).toBeGreaterThan(0)
  expect(final.status).toBe('completed')
  expect(faultsOf(events)).toEqual([])
  expect(textOf(events)).toBe(await stored(final.id))
  expect(textOf(events)).toBe(long)
  expect((await openai.responses.retrieve(final.id)).output).toEqual(final.output)
})

test('a plain request that outlasts its function is in progress, and is polled to its end', async () => {
  const wait = { tools: [{ name: 'wait', input: { ms: 4_000 } }] }
  const response = await openai.responses.create({ model, input: script(wait, wait, wait, { text: 'There.' }) })
  expect(response).toMatchObject({ status: 'in_progress', background: false, usage: null })
  expect(response.output.length).toBeGreaterThan(0)
  const ended = await poll(async () => (await openai.responses.retrieve(response.id)).status === 'completed', {
    everyMs: 200,
    forMs: 20_000,
  })
  expect(ended).toBe(true)
  expect(await openai.responses.retrieve(response.id)).toMatchObject({ output_text: 'There.' })
})

test('killed in the middle of an answer, and started again: the client goes on after its last number', async () => {
  const gate = world.gate()
  const input = script(
    { text: 'First I look.', tools: [{ name: 'echo', input: { value: 1 } }] },
    { text: long, chunks: 20, chunkDelayMs: 50, gate: gate.file },
  )
  let deltas = 0
  const { events, breaks } = await follow(await openai.responses.create({ model, input, stream: true }), async (event) => {
    if (event.type === 'response.output_text.delta') deltas += 1
    if (deltas === 6) {
      deltas += 1
      await kill()
      await gate.open()
    }
  })
  const final = finalOf(events)
  expect(breaks).toBeGreaterThan(0)
  expect(faultsOf(events)).toEqual([])
  expect(final.status).toBe('completed')
  expect(textOf(events)).toBe(`First I look.${String(await stored(final.id))}`)
  const superseded = final.output.filter((item) => item.type === 'message' && item.status === 'incomplete')
  expect(superseded).toHaveLength(1)
  expect((await openai.responses.retrieve(final.id)).output).toEqual(final.output)
})

describe('an Idempotency-Key', () => {
  test("the client's own retries start nothing twice, also where the server died under the first", async () => {
    // More than its two, for a server takes its time to start on a busy machine.
    const retrying = clientOf(world, key, 10)
    const input = script({ text: 'once', delayMs: 1_500 })
    const before = (await world.sql('select from baton.runs')).length
    const options = { headers: { 'Idempotency-Key': 'order-18' } }
    const asked = retrying.responses.create({ model, input }, options)
    await poll(async () => (await world.sql('select from baton.runs')).length > before, { everyMs: 20, forMs: 5_000 })
    await kill()
    const response = await asked
    expect(response.output_text).toBe('once')
    expect((await world.sql('select from baton.runs')).length).toBe(before + 1)
    const messages = 'select role from baton.messages m join baton.agents a using (agent_uid) where a.id = $1'
    expect(await world.sql(messages, [response.conversation?.id])).toHaveLength(2)
    const again = await retrying.responses.create({ model, input }, options)
    expect(again).toMatchObject({ id: response.id, output: response.output })
    await expect(retrying.responses.create({ model, input: 'other' }, options)).rejects.toMatchObject({
      status: 422,
      code: 'idempotency_mismatch',
    })
  })

  test('of a streamed request, repeated: the same response from its first event', async () => {
    const options = { headers: { 'Idempotency-Key': 'order-19' } }
    const first = await drain(await openai.responses.create({ model, input: 'hi', stream: true }, options))
    const again = await drain(await openai.responses.create({ model, input: 'hi', stream: true }, options))
    expect(finalOf(again.events).id).toBe(finalOf(first.events).id)
    expect(textOf(again.events)).toBe(textOf(first.events))
  })
})
