import type OpenAI from 'openai'
import type { ResponseStreamEvent } from 'openai/resources/responses/responses'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startGuarded } from '#tests/access/kit'
import { poll } from '#local/poll'
import { script, type World } from '#tests/world'
import { drain, faultsOf, finalOf, openaiOf, runOf, textOf } from './openai-kit.ts'

let world: World
let openai: OpenAI
beforeAll(async () => {
  world = await startGuarded()
  openai = await openaiOf(world)
})
afterAll(() => world.close())

const model = 'scripted'

async function stored(id: string): Promise<string | null> {
  const [row] = await world.sql<{ output: string | null }>('select output from baton.runs where run_id = $1', [runOf(id)])
  return row?.output ?? null
}

async function streamed(stream: AsyncIterable<ResponseStreamEvent>): Promise<ResponseStreamEvent[]> {
  const { events, broken } = await drain(stream)
  expect(broken).toBeNull()
  expect(faultsOf(events)).toEqual([])
  return events
}

describe('plain', () => {
  test('a text, with what it used and what it was given', async () => {
    const response = await openai.responses.create({
      model,
      input: script({ text: 'Good day', usage: { input: 12, output: 3 } }),
      metadata: { order: '17' },
    })
    expect(response).toMatchObject({
      object: 'response',
      status: 'completed',
      output_text: 'Good day',
      model,
      metadata: { order: '17' },
      error: null,
      incomplete_details: null,
      usage: { input_tokens: 12, output_tokens: 3, total_tokens: 15, output_tokens_details: { reasoning_tokens: 0 } },
      background: false,
      previous_response_id: null,
    })
    expect(response.id).toMatch(/^resp_[0-9a-f]{32}$/)
    expect(await stored(response.id)).toBe(response.output_text)
    expect(await openai.responses.retrieve(response.id)).toMatchObject({
      id: response.id,
      output_text: 'Good day',
      output: response.output,
      created_at: response.created_at,
      completed_at: response.completed_at,
    })
  })

  test('previous_response_id goes on with the conversation; only the last response can be followed', async () => {
    const first = await openai.responses.create({ model, input: 'one' })
    const second = await openai.responses.create({ model, input: 'two', previous_response_id: first.id })
    expect(second.conversation).toEqual(first.conversation)
    expect(second.previous_response_id).toBe(first.id)
    expect((await openai.responses.retrieve(second.id)).previous_response_id).toBe(first.id)
    const refused = openai.responses.create({ model, input: 'fork', previous_response_id: first.id })
    await expect(refused).rejects.toMatchObject({
      status: 409,
      code: 'not_last_response',
      param: 'previous_response_id',
      error: { last_response_id: second.id },
    })
    const agent = String(first.conversation?.id)
    const rows = await world.sql('select role from baton.messages m join baton.agents a using (agent_uid) where a.id = $1', [agent])
    expect(rows).toHaveLength(4)
  })

  test('two requests that follow the same response at once: one is answered', async () => {
    const first = await openai.responses.create({ model, input: 'one' })
    const both = await Promise.allSettled(
      ['a', 'b'].map((input) => openai.responses.create({ model, input, previous_response_id: first.id })),
    )
    expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(both.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { status: 409 } })
  })

  test('a conversation by its id, new and old', async () => {
    const first = await openai.responses.create({ model, input: 'one', conversation: 'order-17' })
    const second = await openai.responses.create({ model, input: 'two', conversation: { id: 'order-17' } })
    expect(second).toMatchObject({ conversation: { id: 'order-17' }, previous_response_id: first.id })
  })

  test('text and pictures become one message', async () => {
    const picture = 'data:image/png;base64,iVBORw0KGgo='
    const response = await openai.responses.create({
      model,
      input: [
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'What is this?' },
            { type: 'input_image', image_url: picture, detail: 'auto' },
          ],
        },
        { role: 'user', content: 'And say it shortly.' },
      ],
    })
    const [row] = await world.sql<{ content: unknown }>("select content from baton.messages where run_id = $1 and role = 'user'", [
      runOf(response.id),
    ])
    expect(row?.content).toEqual([
      { type: 'text', text: 'What is this?' },
      { type: 'image', image: picture, mediaType: 'image/png' },
      { type: 'text', text: 'And say it shortly.' },
    ])
  })

  test('an answer that is cut by its length is incomplete', async () => {
    const response = await openai.responses.create({ model, input: script({ text: 'Once upon', finish: 'length' }) })
    expect(response).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      output_text: 'Once upon',
    })
  })
})

describe('streamed', () => {
  test('deltas, items and the end, as the client adds them up', async () => {
    const input = script({ text: 'One, two, three.', chunks: 3, chunkDelayMs: 50 })
    const runner = openai.responses.stream({ model, input })
    const events: ResponseStreamEvent[] = []
    for await (const event of runner) events.push(event)
    const final = await runner.finalResponse()
    expect(final).toMatchObject({ status: 'completed', output_text: 'One, two, three.' })
    expect(faultsOf(events)).toEqual([])
    expect(textOf(events)).toBe(await stored(final.id))
    expect(events.map(({ type }) => type)).toEqual(
      expect.arrayContaining(['response.created', 'response.in_progress', 'response.output_text.delta', 'response.completed']),
    )
    const replay = await streamed(await openai.responses.retrieve(final.id, { stream: true }))
    expect(textOf(replay)).toBe(final.output_text)
    expect(finalOf(replay)).toEqual(await openai.responses.retrieve(final.id).then(({ output_text: _made, ...rest }) => rest))
  })

  test('it goes on after every number that was given, in whatever state', async () => {
    const input = script(
      { text: 'First.', chunks: 3, tools: [{ name: 'echo', input: { value: 'x' } }], error: { status: 500, times: 1 } },
      { text: 'Second and last.', chunks: 4, chunkDelayMs: 30 },
    )
    const events = await streamed(await openai.responses.create({ model, input, stream: true }))
    const { id } = finalOf(events)
    for (const [index, { sequence_number }] of events.entries()) {
      const { events: rest } = await drain(await openai.responses.retrieve(id, { stream: true, starting_after: sequence_number }))
      expect(textOf([...events.slice(0, index + 1), ...rest])).toBe('First.Second and last.')
      expect(faultsOf([...events.slice(0, index + 1), ...rest])).toEqual([])
    }
  })

  test('tool calls are hosted ones: nothing for the client to execute', async () => {
    const input = script(
      {
        text: 'Let me look.',
        tools: [
          { name: 'echo', input: { value: 7 } },
          { name: 'fail', input: { message: 'no luck' } },
        ],
      },
      { text: 'Seven.' },
    )
    const runner = openai.responses.stream({ model, input })
    const events: ResponseStreamEvent[] = []
    for await (const event of runner) events.push(event)
    const final = await runner.finalResponse()
    expect(faultsOf(events)).toEqual([])
    expect(final.output.map((item) => item.type)).toEqual(['message', 'mcp_call', 'mcp_call', 'message'])
    expect(final.output).toMatchObject([
      { status: 'completed' },
      { name: 'echo', arguments: '{"value":7}', status: 'completed', output: '7', error: null, server_label: 'baton' },
      { name: 'fail', status: 'failed', output: null },
      { status: 'completed' },
    ])
    expect(final.output_text).toBe('Let me look.Seven.')
    expect((await openai.responses.retrieve(final.id)).output).toMatchObject(finalOf(events).output)
  })

  test('a repeated attempt is a new item, the one before it is closed as incomplete', async () => {
    const input = script({ text: 'abcdefghi', chunks: 3, chunkDelayMs: 200, cutAfterChunks: 2 })
    const { events } = await drain(await openai.responses.create({ model, input, stream: true, metadata: {} }))
    expect(faultsOf(events)).toEqual([])
    const closed = events.filter((event) => event.type === 'response.output_item.done')
    expect(closed[0]).toMatchObject({ item: { status: 'incomplete', content: [] }, output_index: 0 })
    expect(events.filter((event) => event.type === 'response.output_item.added').length).toBeGreaterThan(1)
    const final = finalOf(events)
    expect((await openai.responses.retrieve(final.id)).output).toEqual(final.output)
  })
})

describe('background', () => {
  test('queued, then polled to its end', async () => {
    const created = await openai.responses.create({ model, input: script({ text: 'Later', delayMs: 300 }), background: true })
    expect(created).toMatchObject({ status: 'queued', background: true, output: [], usage: null })
    let last = created
    await poll(
      async () => {
        last = await openai.responses.retrieve(created.id)
        return last.status !== 'queued' && last.status !== 'in_progress'
      },
      { everyMs: 100, forMs: 20_000 },
    )
    expect(last).toMatchObject({ status: 'completed', output_text: 'Later' })
  })

  test('streamed later, from the beginning', async () => {
    const created = await openai.responses.create({
      model,
      input: script({ text: 'a b c d', chunks: 4, chunkDelayMs: 100 }),
      background: true,
    })
    const events = await streamed(await openai.responses.retrieve(created.id, { stream: true }))
    expect(textOf(events)).toBe('a b c d')
    expect(finalOf(events).status).toBe('completed')
  })

  test('cancelled in the middle: nothing more comes, and once more changes nothing', async () => {
    const input = script({ text: 'never ending', chunks: 6, chunkDelayMs: 1_000 })
    const stream = await openai.responses.create({ model, input, background: true, stream: true })
    let id = ''
    const cancelled: OpenAI.Responses.Response[] = []
    const { events, broken } = await drain(stream, [], async (event) => {
      if (event.type === 'response.created') id = event.response.id
      if (event.type === 'response.output_text.delta' && cancelled.length === 0) cancelled.push(await openai.responses.cancel(id))
    })
    expect(broken).toBeNull()
    expect(faultsOf(events)).toEqual([])
    expect(cancelled).toMatchObject([{ status: 'cancelled', output: [] }])
    expect(events.at(-1)).toMatchObject({ type: 'response.incomplete', response: { status: 'cancelled', output: [] } })
    expect(await openai.responses.cancel(id)).toMatchObject({ ...cancelled[0] })
    expect(await openai.responses.retrieve(id)).toMatchObject({ ...cancelled[0] })
  })
})
