import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { messageOf } from '#lib/api/chat.fixture'
import { ask, history, inTurn, send, talk, textOf, types, user } from '#tests/chat/kit'
import { poll } from '#local/poll'
import { script, startWorld, type World } from '#tests/world'

let world: World
beforeAll(async () => {
  world = await startWorld({ env: { BATON_SWEEP_EVERY: '1s' } })
})
afterAll(() => world.close())

const tools = [{ name: 'echo', input: { value: 1 } }]
const two = script({ text: 'Let me see what there is', chunks: 5, tools }, { text: 'Good day to you all.', chunks: 4 })
const runOf = (headers: Headers): string => String(headers.get('x-workflow-run-id'))
const post = (body: unknown, headers: Record<string, string> = {}) => ask(world, '/api/chat', { method: 'POST', body, headers })

test('A14: a message is streamed as UI message chunks, and what the client has is what is stored', async () => {
  const sent = await send(world, 'first', two)
  expect(sent).toMatchObject({ status: 200, clean: true })
  expect(sent.headers.get('x-vercel-ai-ui-message-stream')).toBe('v1')
  expect(types(sent.chunks)).toEqual(
    `start start-step text-start text-delta text-end tool-input-available tool-output-available finish-step
     start-step text-start text-delta text-end finish-step finish`.split(/\s+/),
  )
  expect((await world.ended(runOf(sent.headers))).output).toBe('Good day to you all.')
  const [asked, answer] = await history(world, 'first')
  expect(asked).toMatchObject({ role: 'user', parts: [{ type: 'text', text: two }] })
  expect(answer).toMatchObject({ id: runOf(sent.headers), role: 'assistant' })
  expect(answer?.parts).toEqual([
    { type: 'step-start' },
    { type: 'text', text: 'Let me see what there is', state: 'done' },
    { type: 'tool-echo', toolCallId: expect.any(String) as string, input: { value: 1 }, state: 'output-available', output: 1 },
    { type: 'step-start' },
    { type: 'text', text: 'Good day to you all.', state: 'done' },
  ])
})

test('a stream of a run that has ended is served from every chunk on, and beyond it refused', async () => {
  const sent = await send(world, 'replayed', two)
  const run = runOf(sent.headers)
  for (const startIndex of [0, 1, 2, 6, sent.chunks.length - 1]) {
    for (const id of ['replayed', run]) {
      expect((await ask(world, `/api/chat/${id}/stream?startIndex=${startIndex}`)).chunks).toEqual(sent.chunks.slice(startIndex))
    }
  }
  const end = sent.chunks.length
  expect((await ask(world, `/api/chat/${run}/stream?startIndex=${end}`)).status).toBe(204)
  expect(await ask(world, `/api/chat/${run}/stream?startIndex=${end + 1}`)).toMatchObject({
    status: 400,
    text: `invalid_cursor: startIndex ${end + 1} is beyond the end: this stream has ${end} chunks.`,
  })
  const last = await ask(world, `/api/chat/${run}/stream?startIndex=-5`)
  expect(last.chunks).toEqual(sent.chunks)
  expect(last.headers.get('x-workflow-stream-tail-index')).toBe('4')
  for (const wrong of ['x', '1.5', '9e99']) expect((await ask(world, `/api/chat/${run}/stream?startIndex=${wrong}`)).status).toBe(400)
})

test('who comes back when the run is over gets it, for five minutes; then, and where nothing ran, there is nothing to follow', async () => {
  const sent = await send(world, 'over', two)
  expect((await ask(world, '/api/chat/over/stream')).chunks).toEqual(sent.chunks)
  await world.advance(300_001)
  expect((await ask(world, '/api/chat/over/stream')).status).toBe(204)
  await world.http('POST', '/api/agents', { id: 'idle', template: 'scripted' })
  for (const query of ['', '?startIndex=0']) expect((await ask(world, `/api/chat/idle/stream${query}`)).status).toBe(204)
})

test('A16: a client that leaves in mid-answer and comes back by count gets exactly the rest', async () => {
  const slow = script(
    { text: 'The first part of the answer.', chunks: 6, tools },
    { text: 'A second part, much longer than that.', chunks: 30, chunkDelayMs: 60 },
  )
  for (const leftAfter of [3, 12, 15]) {
    const id = `left-${leftAfter}`
    const before = await send(world, id, slow, { until: (_chunk, all) => all.length === leftAfter })
    expect(before.chunks).toHaveLength(leftAfter)
    const after = await ask(world, `/api/chat/${runOf(before.headers)}/stream?startIndex=${leftAfter}`)
    expect(after.clean).toBe(true)
    expect(textOf([...before.chunks, ...after.chunks])).toBe('The first part of the answer.A second part, much longer than that.')
    expect([...before.chunks, ...after.chunks]).toEqual((await ask(world, `/api/chat/${id}/stream?startIndex=0`)).chunks)
  }
})

test('a step that is repeated: what was shown of it is dropped, by the reader who saw it and by the one who comes back', async () => {
  const text = 'A text of which the beginning is shown twice.'
  const gate = world.gate()
  const cut = script({ text, chunks: 12, chunkDelayMs: 40, cutAfterChunks: 8, pieceGates: [gate.file] })
  const shown = (chunk: { type: string }): boolean => {
    if (chunk.type === 'text-start') void gate.open()
    return false
  }
  const whole = await send(world, 'cut', cut, { until: shown })
  expect(types(whole.chunks)).toContain('reset-step')
  expect(textOf(whole.chunks)).toBe(text)
  const before = await send(world, 'cut-left', cut, { until: (chunk) => chunk.type === 'text-delta' })
  const after = await ask(world, `/api/chat/${runOf(before.headers)}/stream?startIndex=${before.chunks.length}`)
  expect(textOf([...before.chunks, ...after.chunks])).toBe(text)
  await world.ended(runOf(before.headers))
  const late = await ask(world, `/api/chat/${runOf(before.headers)}/stream?startIndex=${before.chunks.length}`)
  expect(late.chunks[0]).toEqual({ type: 'reset-step' })
  expect(textOf([...before.chunks, ...late.chunks])).toBe(text)
})

test('an answer of blanks is asked for again: what comes then is whole, live and from every chunk on', async () => {
  const sent = await send(world, 'blank', script({ text: ' ' }, { text: 'then this, to the last word', chunks: 6 }))
  expect((await messageOf(sent.chunks))?.parts).toEqual([
    { type: 'step-start' },
    { type: 'text', text: ' ', state: 'done' },
    { type: 'step-start' },
    { type: 'text', text: 'then this, to the last word', state: 'done' },
  ])
  for (const startIndex of sent.chunks.keys()) {
    const rest = await ask(world, `/api/chat/${runOf(sent.headers)}/stream?startIndex=${startIndex}`)
    expect(rest.chunks).toEqual(sent.chunks.slice(startIndex))
  }
})

test('a place after a repeated step is refused by count and exact by steps', async () => {
  const sent = await send(
    world,
    'doubt',
    script({ text: 'cut in the middle', chunks: 4, cutAfterChunks: 2, tools }, { text: 'second step here', chunks: 3 }),
  )
  const at = sent.chunks.findLastIndex(({ type }) => type === 'text-delta')
  const path = `/api/chat/${runOf(sent.headers)}/stream?startIndex=${at}`
  expect(await ask(world, path)).toMatchObject({ status: 410, text: expect.stringMatching(/^cursor_expired: .*startIndex 0/) as string })
  const exact = await ask(world, path, { headers: { 'x-baton-steps': '2' } })
  expect(exact.chunks[0]).toEqual({ type: 'reset-step' })
  expect(textOf([...sent.chunks.slice(0, at), ...exact.chunks])).toBe('cut in the middlesecond step here')
  expect((await ask(world, path, { headers: { 'x-baton-steps': 'two' } })).status).toBe(400)
})

test('two tabs send at once: each stream has its own answer, one after the other', async () => {
  const texts = ['one', 'two', 'three']
  const answers = await Promise.all(texts.map((text) => send(world, 'tabs', script({ text: `answer ${text}`, delayMs: 200 }))))
  expect(answers.map((answer) => [answer.status, answer.clean, textOf(answer.chunks)])).toEqual(
    texts.map((text) => [200, true, `answer ${text}`]),
  )
  expect(new Set(answers.map((answer) => runOf(answer.headers))).size).toBe(3)
  const messages = await history(world, 'tabs')
  expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant', 'user', 'assistant'])
  expect(new Set(messages.map(({ id }) => id)).size).toBe(6)
})

test('a page that loads while two messages wait sees them, and follows what runs', async () => {
  const gate = world.gate()
  await send(world, 'page', script({ text: 'a long answer, word by word', chunks: 20, chunkDelayMs: 20, gate: gate.file }), {
    until: (chunk) => chunk.type === 'text-delta',
  })
  const waiting = await world.send('page', 'waits', { prefer: 'respond-async' })
  expect(waiting.status).toBe(202)
  const messages = await history(world, 'page')
  expect(messages.map(({ role, metadata }) => [role, (metadata as { state?: string }).state])).toEqual([
    ['user', undefined],
    ['user', 'queued'],
  ])
  const opened = () => (void gate.open(), false)
  const followed = await ask(world, '/api/chat/page/stream', { until: opened })
  expect(textOf(followed.chunks)).toBe('a long answer, word by word')
  await world.ended(String(waiting.body['runId']))
  expect((await history(world, 'page')).map(({ id }) => id)).toEqual(expect.arrayContaining(messages.map(({ id }) => id)))
})

test('stop ends the run, leaving does not', async () => {
  const slow = script({ text: 'a very long answer, word by word', chunks: 30, chunkDelayMs: 50, gate: world.gate().file })
  const left = await send(world, 'stopped', slow, { until: (chunk) => chunk.type === 'text-delta' })
  expect((await world.run(runOf(left.headers))).state).toBe('running')
  const rest = ask(world, '/api/chat/stopped/stream')
  expect((await ask(world, '/api/chat/stopped/stop', { method: 'POST' })).status).toBe(202)
  const { chunks, clean } = await rest
  expect(clean).toBe(true)
  expect(types(chunks).slice(-2)).toEqual(['abort', 'finish'])
  expect(textOf(chunks)).toBe('')
  expect(await world.ended(runOf(left.headers))).toMatchObject({ stopReason: 'interrupted' })
  expect((await ask(world, '/api/chat/stopped/stop', { method: 'POST' })).text).toContain('"stopped":false')
})

test('an error is a chunk with a reason, and regenerate goes on from what there is', async () => {
  const failed = await send(world, 'failed', script({ error: { status: 401 } }))
  expect(failed.chunks.slice(-2)).toMatchObject([
    { type: 'error', errorText: expect.stringMatching(/^provider_auth: /) as string },
    { type: 'finish', finishReason: 'error' },
  ])
  const again = await post({ id: 'failed', messages: [user(script({ error: { status: 401 } }))], trigger: 'regenerate-message' })
  expect(again.chunks.at(-2)).toMatchObject({ type: 'error' })
  expect((await world.run(runOf(again.headers))).retryOf).toBe(runOf(failed.headers))
})

test('regenerate: the stored message once more, and the old answer is superseded', async () => {
  const first = await send(world, 'regen', 'What is it?')
  const again = await post({
    id: 'regen',
    messages: [user('earlier'), user('What is it?')],
    trigger: 'regenerate-message',
    messageId: runOf(first.headers),
  })
  expect(textOf(again.chunks)).toBe('You said: What is it?')
  expect((await history(world, 'regen')).map(({ role, id }) => [role, id])).toEqual([
    ['user', expect.stringMatching(/^usr_/)],
    ['assistant', runOf(again.headers)],
  ])
  const all = await history(world, 'regen', {}, '?superseded=true')
  expect(all.map(({ metadata }) => (metadata as { superseded?: boolean }).superseded)).toEqual([undefined, true, undefined])
  const old = await post({ id: 'regen', messages: [user('x')], trigger: 'regenerate-message', messageId: runOf(first.headers) })
  expect(old).toMatchObject({ status: 400, text: expect.stringContaining('only the last answer') as string })
  expect(await post({ id: 'nobody', messages: [user('x')], trigger: 'regenerate-message' })).toMatchObject({ status: 404 })
})

/** Asks for another answer to what was said last; a client that holds the conversation sends it along. */
const again = (id: string, said: string, more: object = {}, headers: Record<string, string> = {}) =>
  post({ id, messages: [user(said)], trigger: 'regenerate-message', ...more }, headers)
const runsOf = async (id: string): Promise<{ id: string; state: string }[]> =>
  (await world.http('GET', `/api/agents/${id}/runs?order=asc`)).body['data'] as { id: string; state: string }[]

test('a key stands for one message of one chat, whatever else the client sends with it', async () => {
  const headers = { 'idempotency-key': 'one-message' }
  const first = await send(world, 'key-a', 'hello', { headers })
  const longer = [user('earlier, as the client holds it'), user('hello')]
  const repeated = await post({ id: 'key-a', messages: longer, template: 'scripted', trigger: 'submit-message' }, headers)
  expect([runOf(repeated.headers), repeated.headers.get('idempotent-replayed')]).toEqual([runOf(first.headers), 'true'])
  const mismatch = { status: 422, text: expect.stringMatching(/^idempotency_mismatch: /) as string }
  expect(await send(world, 'key-b', 'hello', { headers })).toMatchObject(mismatch)
  expect(await again('key-a', 'hello', { template: 'scripted' }, headers)).toMatchObject(mismatch)
  expect((await ask(world, '/api/chat/key-b')).status).toBe(404)
  expect(await runsOf('key-a')).toHaveLength(1)
})

test('regenerate under a key runs once: repeated while it runs, when it has ended, and when the chat has gone on', async () => {
  const headers = { 'idempotency-key': 'one-answer' }
  const gate = world.gate()
  await gate.open()
  const said = script({ text: 'behind a gate', gate: gate.file })
  const first = await send(world, 'again-key', said)
  await rm(gate.file)
  const messageId = runOf(first.headers)
  const running = again('again-key', said, { messageId }, headers)
  await poll(async () => (await runsOf('again-key')).length === 2, { everyMs: 20, forMs: 60_000 })
  const meanwhile = again('again-key', said, { messageId }, headers)
  expect(await again('again-key', said, { messageId })).toMatchObject({
    status: 409,
    text: expect.stringMatching(/^agent_busy: /) as string,
  })
  await gate.open()
  await send(world, 'again-key', 'and then?')
  for (const repeated of [await meanwhile, await again('again-key', said, { messageId }, headers)]) {
    expect([repeated.status, runOf(repeated.headers)]).toEqual([200, runOf((await running).headers)])
    expect(repeated.headers.get('idempotent-replayed')).toBe('true')
    expect(textOf(repeated.chunks)).toBe('behind a gate')
  }
  expect(await runsOf('again-key')).toHaveLength(3)
})

test('regenerate of a run that failed, under a key, is one retry', async () => {
  const headers = { 'idempotency-key': 'one-retry' }
  const said = script({ error: { status: 401 } })
  const failed = await send(world, 'retry-key', said)
  const [first, repeated] = [await again('retry-key', said, {}, headers), await again('retry-key', said, {}, headers)]
  expect([runOf(repeated.headers), repeated.headers.get('idempotent-replayed')]).toEqual([runOf(first.headers), 'true'])
  expect((await runsOf('retry-key')).map(({ id }) => id)).toEqual([runOf(failed.headers), runOf(first.headers)])
  expect((await world.run(runOf(first.headers))).retryOf).toBe(runOf(failed.headers))
})

test('regenerate beside a message: whoever comes second is told, and no answer is hidden', async () => {
  for (const [id, text] of [
    ['beside', 'Q1'],
    ['beside-failed', script({ error: { status: 401 } })],
  ] as const) {
    await send(world, id, text)
    const [message, second] = await inTurn(world, id, [() => send(world, id, 'Q2'), () => again(id, text)])
    expect(textOf(message?.chunks ?? [])).toBe('You said: Q2')
    expect(second).toMatchObject({ status: 409, text: expect.stringMatching(/^not_last_run: .*Load the messages again/) as string })
    expect((await talk(world, id)).slice(-2)).toEqual(['user: Q2', 'assistant: You said: Q2'])
    expect(await runsOf(id)).toHaveLength(2)
  }
})

test('the answer that is shown last can be made again, also after a cancelled message and one that overtook the queue', async () => {
  const gate = world.gate()
  const quietly = async (text: string) => String((await world.send('shown', text, { prefer: 'respond-async' })).body['runId'])
  const cut = await quietly(script({ text: 'never', gate: gate.file }))
  const queued = await quietly('E')
  const overtaking = await send(world, 'shown', 'I', { more: { onBusy: 'interrupt' } })
  expect(textOf(overtaking.chunks)).toBe('You said: I')
  await world.ended(queued)
  expect((await world.run(cut)).state).toBe('cancelled')
  expect(textOf((await again('shown', 'E', { messageId: queued })).chunks)).toBe('You said: E')

  const slowly = script({ text: 'slow', gate: gate.file })
  const slow = await quietly(slowly)
  expect((await world.http('POST', `/api/runs/${await quietly('never')}/cancel`)).status).toBe(200)
  await gate.open()
  await world.ended(slow)
  expect(textOf((await again('shown', slowly, { messageId: slow })).chunks)).toBe('slow')
  const old = await again('shown', slowly, { messageId: slow })
  expect(old).toMatchObject({ status: 400, text: expect.stringContaining('only the last answer') as string })
})
