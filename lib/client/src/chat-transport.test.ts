import { describe, expect, test } from 'vitest'
import { chatTransport } from '#client/chat-transport'

const asked = { id: 'chat/1', api: '/api/chat' }
const messages = [
  { role: 'user', parts: [] },
  { role: 'assistant', parts: [] },
  { role: 'user', parts: [{ type: 'text', text: 'the last' }] },
]

describe('what is sent', () => {
  test('the last message alone under the id of the chat, with the token as it is now and what the page gives', async () => {
    let token: string | null = 'first'
    const transport = chatTransport({ getToken: async () => token, template: 'support', baseUrl: 'https://agents.example.com/' })
    expect(transport.api).toBe('https://agents.example.com/api/chat')
    const send = () =>
      transport.prepareSendMessagesRequest({ ...asked, messages, headers: { 'X-Page': 'a' }, body: { metadata: { at: 1 } } })
    expect(await send()).toEqual({
      api: 'https://agents.example.com/api/chat',
      headers: { authorization: 'Bearer first', 'content-type': 'application/json', 'x-page': 'a' },
      body: { template: 'support', metadata: { at: 1 }, id: 'chat/1', messages: [messages[2]], trigger: 'submit-message' },
    })
    token = 'second'
    expect((await send()).headers['authorization']).toBe('Bearer second')
    token = null
    expect((await send()).headers).not.toHaveProperty('authorization')
  })

  test('of an answer its last step, where what waits is: all of a long run would be more than a request may have', async () => {
    const { prepareSendMessagesRequest } = chatTransport()
    const sent = async (...parts: { type: string }[]) => {
      const answer = { id: 'run_1', role: 'assistant', metadata: { runId: 'run_1' }, parts }
      const { body } = await prepareSendMessagesRequest({ ...asked, messages: [...messages, answer] })
      return (body as { messages: object[] }).messages
    }
    const step = { type: 'step-start' }
    const past = { type: 'tool-search', state: 'output-available', output: 'long'.repeat(300_000) }
    const last = [
      step,
      { type: 'text' },
      { type: 'tool-charge', state: 'approval-responded' },
      { type: 'tool-page', state: 'input-available' },
    ]
    const rest = { id: 'run_1', role: 'assistant', metadata: { runId: 'run_1' }, parts: last }
    expect(await sent(step, past, { type: 'data-budget' }, ...last)).toEqual([rest])
    expect(await sent(...last)).toEqual([rest])
    expect(await sent(...last.slice(1))).toEqual([{ ...rest, parts: last.slice(1) }])
  })

  test('an answer that is made anew is named, and neither id nor messages are those of the page’s own body', async () => {
    const { prepareSendMessagesRequest } = chatTransport({ template: 'support' })
    const body = { id: 'another', messages: ['all of them'], template: 'sales' }
    const sent = await prepareSendMessagesRequest({ ...asked, messages, trigger: 'regenerate-message', messageId: 'msg_7', body })
    expect(sent).toEqual({
      api: '/api/chat',
      headers: { 'content-type': 'application/json' },
      body: { template: 'sales', id: 'chat/1', messages: [messages[2]], trigger: 'regenerate-message', messageId: 'msg_7' },
    })
  })

  test('who goes on asks at the address of the stream, with the credential, whichever transport suggests it', async () => {
    const { prepareReconnectToStreamRequest: prepare } = chatTransport({ getToken: () => 'mine' })
    const headers = { authorization: 'Bearer mine' }
    expect(await prepare(asked)).toEqual({ api: '/api/chat/chat%2F1/stream', headers })
    const suggested = '/api/chat/run_1/stream'
    expect(await prepare({ ...asked, api: suggested })).toEqual({ api: suggested, headers })
  })
})

const start = 'data: {"type":"start-step"}\n\n'
const text = 'data: {"type":"text-delta","id":"0","delta":"a"}\n\n'

/** A server that answers each request with the next body under the id of its stream; what it was told of steps is kept. */
function server(...bodies: (string[] | null)[]): { told: (string | null)[]; ask: (url: string, id?: string) => Promise<string> } {
  const told: (string | null)[] = []
  let stream = 'run_1'
  const { fetch } = chatTransport({
    fetch: async (_input, init) => {
      told.push(new Headers(init?.headers).get('x-baton-steps'))
      const pieces = bodies[told.length - 1] ?? null
      if (pieces === null) return new Response('no', { status: 503, headers: { 'x-workflow-run-id': stream } })
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece))
          controller.close()
        },
      })
      return new Response(body, { headers: { 'x-workflow-run-id': stream } })
    },
  })
  return {
    told,
    async ask(url, id = 'run_1') {
      stream = id
      return (await fetch(url)).text()
    },
  }
}

describe('a stream that is gone on with', () => {
  test('tells how many steps had begun before its place, by the id of the stream and by that of its chat', async () => {
    // Chunks 0 and 3 begin steps; bytes come as they come, and what is no chunk is not counted.
    const whole = `${start}${text}: ping\n\n${text}${start}${text}data: [DONE]\n\n`
    const { told, ask } = server([whole.slice(0, 40), whole.slice(40)], [text], [text], [text], [text])
    expect(await ask('/api/chat')).toBe(whole)
    await ask('/api/chat/run_1/stream?startIndex=5')
    await ask('/api/chat/run_1/stream?startIndex=3')
    await ask('/api/chat/chat%2F1/stream?startIndex=1')
    await ask('/api/chat/run_1/stream')
    // Of the chat's own id nothing is known yet; from its beginning on there is nothing before.
    expect(told).toEqual([null, '2', '1', null, null])
  })

  test('counts on from its place, and a reload goes by the chat', async () => {
    const { told, ask } = server([start + text], [text + start + text], [text], null, [text])
    await ask('/api/chat')
    await ask('/api/chat/run_1/stream?startIndex=2')
    // Steps at 0 and at 3: the second of them is before 4 and not before 3.
    await ask('/api/chat/run_1/stream?startIndex=4')
    expect(await ask('/api/chat/run_1/stream?startIndex=4')).toBe('no')
    await ask('/api/chat/run_1/stream?startIndex=3')
    expect(told).toEqual([null, '1', '2', '2', '1'])

    const reloaded = server([start + text], [text])
    await reloaded.ask('/api/chat/chat%2F1/stream')
    await reloaded.ask('/api/chat/chat%2F1/stream?startIndex=2')
    expect(reloaded.told).toEqual([null, '1'])
  })

  test('is forgotten behind fifty others: its place is then told by count alone', async () => {
    const { told, ask } = server(...Array.from({ length: 53 }, () => [start + text]))
    for (let index = 0; index <= 50; index += 1) await ask('/api/chat', `run_${index}`)
    await ask('/api/chat/run_0/stream?startIndex=2', 'run_0')
    await ask('/api/chat/run_50/stream?startIndex=2', 'run_50')
    expect(told.slice(-2)).toEqual([null, '1'])
  })
})
