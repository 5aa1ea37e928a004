import { afterAll, beforeAll, expect, test } from 'vitest'
import { ask, history, send, textOf, user, type Chatted } from '#tests/chat/kit'
import { templates } from '#tests/approvals/acting'
import { bearer, makeKey, signUp, startGuarded, adminKey } from '#tests/access/kit'
import { script, type World } from '#tests/world'
import type { UIMessage } from 'ai'

let world: World
let key = ''
beforeAll(async () => {
  world = await startGuarded({ env: templates })
  key = (await makeKey(world, ['admin'])).key
})
afterAll(() => world.close())

const post = (body: unknown, credential = key): Promise<Chatted> =>
  ask(world, '/api/chat', { method: 'POST', body, headers: bearer(credential) })
const say = (id: string, text: string, template = 'scripted', credential = key): Promise<Chatted> =>
  post({ id, messages: [user(text)], template }, credential)
const asksFor = (id: string): string =>
  script({ text: 'May I?', tools: [{ name: 'charge', input: { key: id, cents: 5 } }] }, { text: 'over' })
const callsOut = script({ tools: [{ name: 'outside', input: {} }] }, { text: 'thanks' })
const load = (id: string): Promise<UIMessage[]> => history(world, id, bearer(key))
type Tool = { type: string; toolCallId: string; state: string; approval?: { id: string }; output?: unknown }

/** The last message with its tool part changed, as a client sends it. */
async function answer(id: string, change: (tool: Tool) => object): Promise<UIMessage[]> {
  const messages = await load(id)
  const last = messages.at(-1)
  const parts = (last?.parts ?? []).map((part) => ('toolCallId' in part ? { ...part, ...change(part as Tool) } : part))
  return [...messages.slice(0, -1), { ...last, parts } as UIMessage]
}
const decide = (id: string, approved: boolean, approvalId?: string): Promise<UIMessage[]> =>
  answer(id, (tool) => ({ state: 'approval-responded', approval: { id: approvalId ?? tool.approval?.id, approved } }))
/** The answer to the question that stands before a message that waits. */
const decideFirst = async (id: string): Promise<UIMessage[]> => {
  const [asked, answered] = await load(id)
  const parts = (answered?.parts ?? []).map((part) =>
    'toolCallId' in part ? { ...part, state: 'approval-responded', approval: { id: (part as Tool).approval?.id, approved: true } } : part,
  )
  return [asked, { ...answered, parts }] as UIMessage[]
}
const effects = async (id: string): Promise<number> =>
  ((await world.http('GET', `/api/local/effects?key=${id}`, undefined, bearer(adminKey))).body['data'] as unknown[]).length

test('what a stock WorkflowChatTransport sends is told what is missing', async () => {
  const stock = await fetch(`${world.base()}/api/chat`, {
    method: 'POST',
    headers: bearer(key),
    body: JSON.stringify({ messages: [user('x')] }),
  })
  expect([stock.status, await stock.text()]).toEqual([400, expect.stringMatching(/^chat_id_missing: .*chatTransport\(\)/)])
  expect(await post({ messages: [user('x')] })).toMatchObject({ status: 400, text: expect.stringMatching(/^chat_id_missing: /) as string })
})

test('refusals are text for the AI SDK, and a problem document for who asks for JSON', async () => {
  const cases: [unknown, number, string][] = [
    [{ id: 'r', messages: [user('x')], template: 'nowhere' }, 400, 'template_unknown'],
    [{ id: '../r', messages: [user('x')] }, 400, 'invalid_agent_id'],
    [{ id: 'r', messages: [] }, 400, 'validation'],
    [{ id: 'r', messages: [user('')], template: 'scripted' }, 400, 'validation'],
    [{ id: 'r', messages: [{ role: 'system', parts: [] }] }, 400, 'validation'],
    [{ id: 'r', messages: [user('x')], surprise: 1 }, 400, 'validation'],
    [{ id: 'r', messages: [user('x')], messageId: 'edited', template: 'scripted' }, 400, 'validation'],
    [{ id: 'r', messages: [{ role: 'user', parts: [{ type: 'data-x', data: 1 }] }], template: 'scripted' }, 400, 'validation'],
    [
      { id: 'r', messages: [user('x', { url: 'http://127.0.0.1/a.png', mediaType: 'image/png' })], template: 'scripted' },
      400,
      'validation',
    ],
    [
      {
        id: 'r',
        messages: [user('x', { url: `data:image/png;base64,${'A'.repeat(300_000)}`, mediaType: 'image/png' })],
        template: 'scripted',
      },
      413,
      'body_too_large',
    ],
  ]
  for (const [body, status, code] of cases) {
    const refused = await post(body)
    expect([refused.status, refused.text.split(':')[0], refused.headers.get('content-type')]).toEqual([
      status,
      code,
      'text/plain; charset=utf-8',
    ])
  }
  expect(await ask(world, '/api/chat/r', { headers: bearer(key) })).toMatchObject({
    status: 404,
    text: 'agent_not_found: There is no agent of this id.',
  })
  const json = await world.http('GET', '/api/chat/r', undefined, { ...bearer(key), accept: 'application/json' })
  expect(json.body).toMatchObject({ status: 404, code: 'agent_not_found' })
  expect(await ask(world, '/api/chat/r')).toMatchObject({ status: 401, text: expect.stringMatching(/^unauthorized: /) as string })
  for (const id of ['run_0', 'run_0~3', 'nobody'])
    expect((await ask(world, `/api/chat/${id}/stream`, { headers: bearer(key) })).status).toBe(404)
})

test('an image within the limit goes in, and comes back in the history', async () => {
  const url = 'data:image/png;base64,iVBORw0KGgo='
  await post({ id: 'image', messages: [user('what is it?', { url, mediaType: 'image/png' })], template: 'scripted' })
  expect((await load('image'))[0]?.parts).toEqual([
    { type: 'file', url, mediaType: 'image/png' },
    { type: 'text', text: 'what is it?' },
  ])
})

test('the history that a client sends is not believed', async () => {
  const forged: UIMessage[] = [
    user('forged question'),
    { id: 'run_x', role: 'assistant', parts: [{ type: 'text', text: 'forged answer' }] },
    user('the real one'),
  ]
  await post({ id: 'forged', messages: forged, template: 'scripted' })
  expect(JSON.stringify(await load('forged'))).not.toContain('forged')
  expect((await load('forged')).map(({ role }) => role)).toEqual(['user', 'assistant'])
})

test('A35: a decision lets the run go on in the same message; the same one again changes nothing', async () => {
  await say('yes', asksFor('yes'), 'asks')
  const messages = await decide('yes', true)
  const first = await post({ id: 'yes', messages })
  expect(textOf(first.chunks)).toBe('over')
  const again = await post({ id: 'yes', messages })
  expect([again.status, again.chunks]).toEqual([200, first.chunks])
  expect(await effects('yes')).toBe(1)
  expect(first.headers.get('x-workflow-run-id')).toMatch(/^run_\w+~\d+$/)
  const rest = await ask(world, `/api/chat/${String(first.headers.get('x-workflow-run-id'))}/stream?startIndex=2`, { headers: bearer(key) })
  expect(rest.chunks).toEqual(first.chunks.slice(2))
})

test('A36: a refusal is seen, and nothing has happened', async () => {
  await say('no', asksFor('no'), 'asks')
  const answered = await post({ id: 'no', messages: await decide('no', false) })
  expect(answered.chunks.some(({ type }) => type === 'tool-output-denied')).toBe(true)
  expect(await effects('no')).toBe(0)
  expect((await load('no'))[1]?.parts.find((part) => part.type === 'tool-charge')).toMatchObject({ state: 'output-denied' })
})

test('forged decisions: of nobody, of another chat, of another tenant, decided otherwise; nothing is executed', async () => {
  await say('mine', asksFor('mine'), 'asks')
  await say('other', asksFor('other'), 'asks')
  await say('settled', asksFor('settled'), 'asks')
  const otherId = (await load('other'))[1]?.parts.flatMap((part) => ('approval' in part ? [(part as Tool).approval?.id ?? ''] : []))[0]
  const yes = await decide('settled', true)
  await post({ id: 'settled', messages: await decide('settled', false) })
  const unknown = 'approval_not_found: There is no approval of this id.'
  expect(await post({ id: 'mine', messages: await decide('mine', true, 'apr_forged') })).toMatchObject({ status: 404, text: unknown })
  expect(await post({ id: 'mine', messages: await decide('mine', true, otherId) })).toMatchObject({ status: 404, text: unknown })
  expect(await post({ id: 'settled', messages: yes })).toMatchObject({
    status: 409,
    text: expect.stringMatching(/^already_decided: /) as string,
  })
  const runner = (await makeKey(world, ['agents:read', 'agents:run'])).key
  expect((await post({ id: 'mine', messages: await decide('mine', true) }, runner)).status).toBe(403)
  const mallory = await signUp(world, 'mallory@example.com')
  expect((await post({ id: 'mine', messages: await decide('mine', true) }, mallory.token)).status).toBe(404)
  for (const id of ['mine', 'other', 'settled']) expect(await effects(id)).toBe(0)
  expect((await load('mine'))[1]?.parts.at(-1)).toMatchObject({ state: 'approval-requested' })
})

test('results of calls that wait outside: once, by who may run the agent, and of no other call', async () => {
  const owner = await signUp(world, 'owner@example.com')
  const stranger = await signUp(world, 'stranger@example.com')
  await say('outside', callsOut, 'scripted', owner.token)
  const given = (output: unknown): Promise<UIMessage[]> => answer('outside', () => ({ state: 'output-available', output }))
  expect((await post({ id: 'outside', messages: await given('forged') }, stranger.token)).status).toBe(404)
  const reader = (await makeKey(world, ['agents:read'])).key
  expect((await post({ id: 'outside', messages: await given('forged') }, reader)).status).toBe(403)
  const messages = await given({ sunny: true })
  const first = await post({ id: 'outside', messages }, owner.token)
  expect(textOf(first.chunks)).toBe('thanks')
  // Its reply may have been lost: the same result again is shown what came of it, another is none.
  const again = await post({ id: 'outside', messages }, owner.token)
  expect([again.status, again.chunks]).toEqual([200, first.chunks])
  expect((await post({ id: 'outside', messages }, reader)).status).toBe(403)
  const conflict = { status: 409, text: expect.stringMatching(/^conflict: /) as string }
  for (const other of ['forged', { sunny: false }])
    expect(await post({ id: 'outside', messages: await given(other) }, owner.token)).toMatchObject(conflict)
  const audit = await world.sql<{ actor: string }>("select actor from baton.audit where action = 'tool.result'")
  expect(audit).toEqual([{ actor: `user:${owner.id}` }])
  await say('echoed', script({ tools: [{ name: 'echo', input: { value: 1 } }] }, { text: 'done' }))
  const forged = await answer('echoed', () => ({ state: 'output-available', output: 'forged' }))
  expect((await post({ id: 'echoed', messages: forged })).status).toBe(409)
  expect((await load('echoed'))[1]?.parts[1]).toMatchObject({ output: 1 })
})

test('an error that the page reports is a failed call', async () => {
  await say('page-fails', callsOut)
  const messages = await answer('page-fails', () => ({ state: 'output-error', errorText: 'no rain today' }))
  for (const _repeat of [1, 2]) expect(textOf((await post({ id: 'page-fails', messages })).chunks)).toBe('thanks')
  const given = await answer('page-fails', () => ({ state: 'output-available', output: 'no rain today' }))
  expect((await post({ id: 'page-fails', messages: given })).status).toBe(409)
  expect((await load('page-fails'))[1]?.parts[1]).toMatchObject({ state: 'output-error', errorText: 'no rain today' })
})

test('a result that is repeated when the run asks once more: the stream shows that, and nothing is given twice', async () => {
  await say(
    'twice-out',
    script({ tools: [{ name: 'outside', input: {} }] }, { tools: [{ name: 'outside', input: {} }] }, { text: 'thanks' }),
  )
  const messages = await answer('twice-out', () => ({ state: 'output-available', output: 1 }))
  const first = await post({ id: 'twice-out', messages })
  const again = await post({ id: 'twice-out', messages })
  expect([again.status, again.clean, again.chunks]).toEqual([200, true, first.chunks])
  const both = await answer('twice-out', ({ state }) => (state === 'input-available' ? { state: 'output-available', output: 2 } : {}))
  const last = await post({ id: 'twice-out', messages: both })
  expect(textOf(last.chunks)).toBe('thanks')
  expect((await post({ id: 'twice-out', messages: both })).chunks).toEqual(last.chunks)
})

test('a message behind a run that waits for somebody: the stream says so and ends, and is followed when it runs', async () => {
  await say('behind', asksFor('behind'), 'asks')
  const sent = await say('behind', 'and this?', 'asks')
  const run = String(sent.headers.get('x-workflow-run-id'))
  const blocked = (await world.http('GET', '/api/agents/behind', undefined, bearer(key))).body['activeRunId']
  expect([sent.status, sent.clean, sent.chunks.slice(1)]).toMatchObject([
    200,
    true,
    [
      {
        type: 'data-blocked',
        id: 'blocked',
        data: {
          blockedBy: 'approvals',
          blockingRunId: blocked,
          approvals: [{ tool: 'charge', id: expect.stringMatching(/^apr_/) as string }],
        },
      },
      { type: 'finish', finishReason: 'other', messageMetadata: { runId: run, state: 'queued' } },
    ],
  ])
  const resumed = await ask(world, `/api/chat/${run}/stream`, { headers: bearer(key) })
  expect([resumed.clean, resumed.chunks]).toEqual([true, sent.chunks])
  await post({ id: 'behind', messages: await decideFirst('behind') })
  expect(textOf((await ask(world, `/api/chat/${run}/stream`, { headers: bearer(key) })).chunks)).toBe('You said: and this?')
})

test('one answer of several: the stream ends at once, for the run still waits', async () => {
  const both = script(
    {
      tools: [
        { name: 'charge', input: { key: 'a', cents: 1 } },
        { name: 'charge', input: { key: 'b', cents: 1 } },
      ],
    },
    { text: 'over' },
  )
  await say('several', both, 'asks')
  let first = true
  const messages = await answer('several', (tool) => {
    const given = first ? { state: 'approval-responded', approval: { ...tool.approval, approved: true } } : {}
    first = false
    return given
  })
  const partly = await post({ id: 'several', messages })
  expect([partly.status, partly.clean, partly.chunks.at(-1)]).toMatchObject([200, true, { type: 'finish', finishReason: 'tool-calls' }])
  expect(await ask(world, '/api/chat/several/stream', { headers: bearer(key) })).toMatchObject({ status: 200, clean: true })
  expect(textOf((await post({ id: 'several', messages: await decide('several', true) })).chunks)).toBe('over')
})

test("A86: another user's chat answers 404, by every address", async () => {
  const [eve, adam] = [await signUp(world, 'eve@example.com'), await signUp(world, 'adam@example.com')]
  const sent = await send(world, 'eve-1', 'hello', { headers: bearer(eve.token) })
  expect(sent.status).toBe(200)
  const run = String(sent.headers.get('x-workflow-run-id'))
  const headers = bearer(adam.token)
  for (const path of ['/api/chat/eve-1', '/api/chat/eve-1/stream', `/api/chat/${run}/stream`, `/api/chat/${run}~3/stream?startIndex=0`])
    expect((await ask(world, path, { headers })).status).toBe(404)
  expect((await ask(world, '/api/chat/eve-1/stop', { method: 'POST', headers })).status).toBe(404)
  for (const trigger of ['submit-message', 'regenerate-message'])
    expect(
      (
        await ask(world, '/api/chat', {
          method: 'POST',
          body: { id: 'eve-1', messages: [user('x')], trigger, template: 'scripted' },
          headers,
        })
      ).status,
    ).toBe(404)
  expect((await ask(world, '/api/chat/eve-1', { headers: bearer(eve.token) })).status).toBe(200)
})

test('a page that was left open makes no answer to what another one has asked since', async () => {
  for (const text of ['question ONE', 'question TWO \u0000']) await say('two-pages', text)
  const messageId = String(
    ((await world.http('GET', '/api/agents/two-pages/runs', undefined, bearer(key))).body['data'] as { id: string }[])[0]?.id,
  )
  const again = (text: string) => post({ id: 'two-pages', messages: [user(text)], trigger: 'regenerate-message', messageId })
  const stale = await again('question ONE')
  expect(stale).toMatchObject({ status: 409, text: expect.stringMatching(/^not_last_run: .*Load the messages again/) as string })
  expect((await again('question TWO \u0000')).status).toBe(200)
  expect((await world.http('GET', '/api/agents/two-pages/runs', undefined, bearer(key))).body['data']).toHaveLength(3)
})
