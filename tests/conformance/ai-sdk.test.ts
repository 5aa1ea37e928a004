import { lastAssistantMessageIsCompleteWithApprovalResponses, lastAssistantMessageIsCompleteWithToolCalls, type UIMessage } from 'ai'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { localTemplates } from '#local/scripted/extra'
import { poll } from '#local/poll'
import { adminKey, bearer, signUp, startGuarded, type SignedUp } from '#tests/access/kit'
import { load, openChat, settled, spoken, stored } from './ai-sdk-kit.ts'
import { script, type World } from '#tests/world'

const templates = localTemplates({
  templates: [
    {
      id: 'asks',
      model: 'local/scripted',
      permission: { mode: 'approval', ask: ['charge'], allow: ['echo'] },
      public: true,
      approvers: ['owner'],
    },
  ],
})
/** A function that may run for 10 s and stops by itself after 5. */
const short = { BATON_MAX_DURATION_MS: '10000', BATON_HARD_MARGIN_MS: '5000', BATON_LEASE_MS: '3000', BATON_SWEEP_EVERY: '1s' }

let world: World
let alice: SignedUp
beforeAll(async () => {
  world = await startGuarded({ servers: 2, env: { ...templates, ...short } })
  alice = await signUp(world, 'alice@example.com')
})
afterAll(() => world.close())
vi.setConfig({ testTimeout: 120_000 })

const poem = 'Über allen Gipfeln ist Ruh, in allen Wipfeln spürest du kaum einen Hauch. 🌲🌲 Die Vögelein schweigen im Walde.'
const echo = { name: 'echo', input: { value: 'x' } }
/** Four answers of two seconds each: longer than a function may take. */
const long = script(
  ...['first', 'second', 'third'].map((word) => ({ text: `${word}: ${poem}`, chunks: 20, chunkDelayMs: 100, tools: [echo] })),
  { text: `last: ${poem}`, chunks: 20, chunkDelayMs: 100 },
)
const short1 = script({ text: poem, chunks: 7, tools: [echo] }, { text: 'Warte nur, balde.', chunks: 3 })
const partsOf = (message: UIMessage | undefined): string[] => message?.parts.map(({ type }) => type) ?? []

describe.each(['default', 'workflow'] as const)('the %s transport, as a signed-in user', (transport) => {
  const id = (name: string): string => `${transport}-${name}`
  const open = (name: string, more: object = {}) => openChat(world, { transport, id: id(name), token: alice.token, ...more })

  test('sends, streams, and loads the same history again', async () => {
    const chat = open('plain')
    await chat.sendMessage({ text: short1 })
    expect(chat.status, chat.error?.message).toBe('ready')
    expect(spoken(chat.messages)).toEqual([`${poem}Warte nur, balde.`])
    expect(spoken(chat.messages)).toEqual(await stored(world, id('plain')))
    const loaded = await load(world, id('plain'), alice.token)
    expect(loaded[1]?.id).toBe(chat.messages[1]?.id)
    expect(partsOf(loaded[1])).toEqual(partsOf(chat.messages[1]))
    expect(await load(world, id('plain'), alice.token)).toEqual(loaded)
    const again = open('plain', { messages: loaded })
    await again.sendMessage({ text: 'And again' })
    expect(spoken(again.messages)).toEqual([`${poem}Warte nur, balde.`, 'You said: And again'])
  })

  test('the function ends in mid-answer: the client comes back and gets the rest', async () => {
    const ended: boolean[] = []
    const chat = open('deadline', { init: { onFinish: ({ isError }: { isError: boolean }) => ended.push(isError) } })
    await chat.sendMessage({ text: long })
    const resumes = await settled(chat)
    if (transport === 'default') expect([resumes > 0, ended[0]], 'the broken stream was no success').toEqual([true, true])
    expect(spoken(chat.messages)).toHaveLength(1)
    expect(spoken(chat.messages)).toEqual(await stored(world, id('deadline')))
    expect(partsOf(chat.messages[1]).filter((type) => type === 'tool-echo')).toHaveLength(3)
    const told = partsOf(chat.messages[1]).filter((type) => type === 'data-handoff').length
    const handed = await world.sql<{ reason: string }>(
      `select e.data ->> 'reason' as reason from baton.events e join baton.agents a using (agent_uid) where a.id = $1 and e.type = 'handed_off'`,
      [id('deadline')],
    )
    // They have one id, so that the newest stands for all where the machine was slow; one in a step that is repeated goes with it.
    expect([handed.length > 0, told <= 1]).toEqual([true, true])
    if (handed.some(({ reason }) => reason === 'slice_deadline')) expect(told).toBe(1)
  })

  test('a page is loaded again in mid-answer: nothing is doubled', async () => {
    const first = open('reload')
    void first.sendMessage({
      text: script({ text: poem, chunks: 10, chunkDelayMs: 50, tools: [echo] }, { text: poem, chunks: 20, chunkDelayMs: 100 }),
    })
    expect(
      await poll(() => Promise.resolve((spoken(first.messages)[0]?.length ?? 0) > poem.length + 20), { everyMs: 20, forMs: 15_000 }),
    ).toBe(true)
    await first.stop()
    const second = open('reload', { messages: await load(world, id('reload'), alice.token) })
    await second.resumeStream()
    await settled(second)
    expect(spoken(second.messages)).toEqual([poem + poem])
    expect(spoken(second.messages)).toEqual(await stored(world, id('reload')))
    expect(second.messages.map(({ role }) => role)).toEqual(['user', 'assistant'])
    expect(second.messages).toHaveLength(2)
  })

  test('the server is killed in mid-answer: the step is repeated and what was shown of it is gone', async () => {
    const chat = open('kill', { servers: 2 })
    void chat.sendMessage({ text: script({ text: 'Before. ', tools: [echo] }, { text: poem, chunks: 30, chunkDelayMs: 60 }) })
    expect(await poll(() => Promise.resolve((spoken(chat.messages)[0]?.length ?? 0) > 40), { everyMs: 20, forMs: 15_000 })).toBe(true)
    await world.stack.kill('server-0', 'SIGKILL')
    await settled(chat)
    await world.stack.waitReady()
    expect(spoken(chat.messages)).toEqual([`Before. ${poem}`])
    expect(spoken(chat.messages)).toEqual(await stored(world, id('kill')))
    expect(partsOf(chat.messages[1]).filter((type) => type === 'tool-echo')).toHaveLength(1)
  })

  test('a tool that asks: the answer of the person lets the same message go on', async () => {
    for (const approved of [true, false]) {
      const name = `asks-${approved}`
      const chat = open(name, { template: 'asks', init: { sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses } })
      await chat.sendMessage({
        text: script({ text: 'May I? ', tools: [{ name: 'charge', input: { key: id(name), cents: 5 } }] }, { text: 'Thank you.' }),
      })
      expect(chat.status, chat.error?.message).toBe('ready')
      const asked = chat.messages[1]?.parts.find((part) => part.type === 'tool-charge')
      expect(asked).toMatchObject({ state: 'approval-requested', approval: { id: expect.stringMatching(/^apr_/) as string } })
      const { approval } = asked as { approval: { id: string } }
      await chat.addToolApprovalResponse({ id: approval.id, approved, reason: 'because' })
      expect(
        await poll(() => Promise.resolve(spoken(chat.messages)[0] === 'May I? Thank you.' && chat.status === 'ready'), {
          everyMs: 50,
          forMs: 20_000,
        }),
      ).toBe(true)
      expect(chat.messages).toHaveLength(2)
      expect(chat.messages[1]?.parts.find((part) => part.type === 'tool-charge')).toMatchObject(
        approved ? { state: 'output-available', output: { charged: 5 } } : { state: 'output-denied', approval: { approved: false } },
      )
      const effects = await world.http('GET', `/api/local/effects?key=${id(name)}`, undefined, bearer(adminKey))
      expect(effects.body['data']).toHaveLength(approved ? 1 : 0)
      expect(spoken(chat.messages)).toEqual(await stored(world, id(name)))
      expect(spoken(await load(world, id(name), alice.token))).toEqual(spoken(chat.messages))
    }
  })

  test('a tool of the page: addToolOutput answers it', async () => {
    const called: string[] = []
    const chat = open('outside', {
      init: {
        sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
        onToolCall: ({ toolCall }: { toolCall: { toolName: string; toolCallId: string } }) => {
          called.push(toolCall.toolName)
          void chat.addToolOutput({ tool: toolCall.toolName as never, toolCallId: toolCall.toolCallId, output: { sunny: true } })
        },
      },
    })
    await chat.sendMessage({ text: script({ tools: [{ name: 'outside', input: {} }] }, { text: 'It is sunny.' }) })
    expect(
      await poll(() => Promise.resolve(spoken(chat.messages)[0] === 'It is sunny.' && chat.status === 'ready'), {
        everyMs: 50,
        forMs: 20_000,
      }),
    ).toBe(true)
    expect(called).toEqual(['outside'])
    expect(chat.messages).toHaveLength(2)
    const calls = await world.http('GET', `/api/agents/${id('outside')}/tool-calls`, undefined, bearer(alice.token))
    expect(calls.body['data']).toMatchObject([{ state: 'completed', output: { type: 'json', value: { sunny: true } } }])
  })

  test('another answer takes the place of the last one, here and after a reload', async () => {
    const chat = open('again')
    await chat.sendMessage({ text: 'Say it' })
    const [, first] = chat.messages
    await chat.regenerate()
    expect(chat.messages.map(({ role }) => role)).toEqual(['user', 'assistant'])
    expect(chat.messages[1]?.id).not.toBe(first?.id)
    const loaded = await load(world, id('again'), alice.token)
    expect(loaded.map((message) => message.id).slice(1)).toEqual([chat.messages[1]?.id])
  })

  test('a failed run is an error that says why, and may be tried again', async () => {
    const chat = open('fails')
    await chat.sendMessage({ text: script({ error: { status: 401 } }) })
    expect(chat.status).toBe('error')
    expect(chat.error?.message).toContain('provider_auth')
    const gone = openChat(world, { transport, id: id('no-template'), token: alice.token, template: 'nowhere' })
    await gone.sendMessage({ text: 'x' })
    expect(gone.error?.message).toContain('template_unknown')
  })
})
