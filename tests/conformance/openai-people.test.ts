import OpenAI from 'openai'
import type { ResponseStreamEvent } from 'openai/resources/responses/responses'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { adminKey, bearer, startGuarded, tokenOf } from '#tests/access/kit'
import { poll } from '#local/poll'
import { startReceiver, type Receiver } from '#tests/webhooks/receiver'
import { script, type World } from '#tests/world'
import { clientOf, drain, faultsOf, finalOf, openaiOf, runOf, textOf } from './openai-kit.ts'

let world: World
let receiver: Receiver
let openai: OpenAI
beforeAll(async () => {
  ;[world, receiver] = await Promise.all([startGuarded(), startReceiver()])
  openai = await openaiOf(world)
})
afterAll(async () => {
  await receiver.close()
  await world.close()
})

const model = 'scripted'
const admin = bearer(adminKey)
const charge = script({ text: 'I charge.', tools: [{ name: 'charge', input: { key: 'k', cents: 5 } }] }, { text: 'Charged.' })

async function asking(id: string): Promise<string> {
  await world.http('POST', '/api/agents', { id, template: model, permission: { ask: ['charge'] } }, admin)
  return id
}

test('a run that asks: in progress with a request for approval; it is decided natively and goes on after the last number', async () => {
  const conversation = await asking('asks')
  const { events, broken } = await drain(await openai.responses.create({ model, conversation, input: charge, stream: true }))
  expect(broken).toBeNull()
  expect(events.at(-1)).toMatchObject({ type: 'response.in_progress', response: { status: 'in_progress' } })
  const asked = events.find((event) => event.type === 'response.output_item.done' && event.item.type === 'mcp_approval_request')
  if (asked?.type !== 'response.output_item.done' || asked.item.type !== 'mcp_approval_request') throw new Error('nobody was asked')
  expect(asked.item).toMatchObject({ name: 'charge', arguments: '{"key":"k","cents":5}', server_label: 'baton' })
  const id = finalOf(events).id
  const waiting = await openai.responses.retrieve(id)
  expect(waiting).toMatchObject({ status: 'in_progress', usage: null })
  expect(waiting.output.map(({ type }) => type)).toEqual(['message', 'mcp_approval_request'])
  const after = events.at(-1)?.sequence_number ?? 0
  const still = await drain(await openai.responses.retrieve(id, { stream: true, starting_after: after }))
  expect(still).toEqual({ events: [], broken: null })
  await expect(openai.responses.create({ model, input: 'and?', previous_response_id: id })).rejects.toMatchObject({
    status: 409,
    code: 'conversation_busy',
  })

  expect((await world.http('POST', `/api/approvals/${asked.item.id}`, { decision: 'allow' }, admin)).status).toBe(200)
  const rest = await drain(await openai.responses.retrieve(id, { stream: true, starting_after: after }))
  const all = [...events, ...rest.events]
  expect(faultsOf(all)).toEqual([])
  expect(textOf(all)).toBe('I charge.Charged.')
  const final = finalOf(all)
  expect(final.output).toMatchObject([
    { type: 'message', status: 'completed' },
    { type: 'mcp_approval_request', id: asked.item.id },
    { type: 'mcp_call', name: 'charge', status: 'completed', approval_request_id: asked.item.id },
    { type: 'message', status: 'completed' },
  ])
  expect((await openai.responses.retrieve(id)).output).toEqual(final.output)
})

test('a plain request that asks is answered when it pauses; a denied call has failed', async () => {
  const response = await openai.responses.create({ model, conversation: await asking('asks-2'), input: charge })
  expect(response.status).toBe('in_progress')
  const request = response.output.find((item) => item.type === 'mcp_approval_request')
  await world.http('POST', `/api/approvals/${String(request?.id)}`, { decision: 'deny', note: 'not today' }, admin)
  const over = await poll(async () => (await openai.responses.retrieve(response.id)).status === 'completed', {
    everyMs: 100,
    forMs: 15_000,
  })
  expect(over).toBe(true)
  const call = (await openai.responses.retrieve(response.id)).output.find((item) => item.type === 'mcp_call')
  expect(call).toMatchObject({ status: 'failed', output: null })
  expect(JSON.stringify(call)).toContain('not today')
})

test('a signed-in user talks through it, and sees nothing of others', async () => {
  const user = clientOf(world, await tokenOf(world, '33333333-3333-4333-8333-333333333333'))
  const first = await user.responses.create({ model, input: 'mine', metadata: { a: 'b' } })
  const second = await user.responses.create({ input: 'more', previous_response_id: first.id })
  expect(second.output_text).toBe('You said: more')
  expect(finalOf((await drain(await user.responses.retrieve(second.id, { stream: true }))).events).id).toBe(second.id)
})

test('text that a hook replaces is never streamed, nor after a break', async () => {
  const input = script({ text: 'a secret-word is in here', chunks: 4, chunkDelayMs: 60 })
  const { events } = await drain(await openai.responses.create({ model: 'hooked', input, stream: true }))
  expect(faultsOf(events)).toEqual([])
  expect(JSON.stringify(events)).not.toContain('secret')
  expect(textOf(events)).toBe('a [removed] is in here')
})

test('several readers in mid-answer see the same: each from its own place', async () => {
  const text = Array.from({ length: 12 }, (_, index) => `part ${index} `).join('')
  const created = await openai.responses.create({ model, input: script({ text, chunks: 12, chunkDelayMs: 120 }), background: true })
  const read = async (startMs: number): Promise<ResponseStreamEvent[]> => {
    await new Promise((resolve) => setTimeout(resolve, startMs))
    const events: ResponseStreamEvent[] = []
    // Leaves in the middle of the text, and comes again.
    const first = await openai.responses.retrieve(created.id, { stream: true })
    for await (const event of first) {
      events.push(event)
      if (events.filter(({ type }) => type === 'response.output_text.delta').length === 2) break
    }
    const rest = await openai.responses.retrieve(created.id, { stream: true, starting_after: events.at(-1)?.sequence_number ?? 0 })
    return (await drain(rest, events)).events
  }
  const readers = await Promise.all([0, 200, 500, 900].map(read))
  for (const events of readers) {
    expect(faultsOf(events)).toEqual([])
    expect(textOf(events)).toBe(text)
    expect(finalOf(events)).toEqual(finalOf(readers[0] ?? []))
  }
})

test('webhooks.unwrap accepts what Baton sends, and refuses it with another secret or another body', async () => {
  const made = await world.http('POST', '/api/webhooks', { url: receiver.url('/hook') }, admin)
  const secret = String(made.body['secret'])
  const response = await openai.responses.create({ model, input: 'hi', metadata: { order: '17' } })
  const [arrival] = await receiver.waitFor('/hook', 1)
  if (arrival === undefined) throw new Error('nothing came')
  const client = new OpenAI({ apiKey: 'none', webhookSecret: secret })
  const event = (await client.webhooks.unwrap(arrival.body, arrival.headers)) as unknown as {
    type: string
    data: { runId: string; output: string; metadata: object }
  }
  expect(event).toMatchObject({
    type: 'run.completed',
    data: { runId: runOf(response.id), output: 'You said: hi', metadata: { order: '17' } },
  })
  await expect(client.webhooks.unwrap(`${arrival.body} `, arrival.headers)).rejects.toThrow()
  const other = `whsec_${Buffer.alloc(32).toString('base64')}`
  await expect(client.webhooks.unwrap(arrival.body, arrival.headers, other)).rejects.toThrow()
})
