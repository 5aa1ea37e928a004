import { afterAll, beforeAll, expect, test } from 'vitest'
import { createBaton, type BatonEvent } from '#client'
import { expectWhole, readAll, readTexts, say, slow } from '#tests/client/kit'
import { startProxy } from '#tests/proxy'
import { script, startWorld, type World } from '#tests/world'

/** A function that may run 10 s, 5 s of them its margin: streams break after 5 s. */
const life = { BATON_MAX_DURATION_MS: '10000', BATON_HARD_MARGIN_MS: '5000', BATON_LEASE_MS: '15000' }

let world: World
beforeAll(async () => {
  world = await startWorld({ env: life })
})
afterAll(() => world.close())

const runsOf = async (agent: string): Promise<number> =>
  (await world.sql('select 1 from baton.runs r join baton.agents a using (agent_uid) where a.id = $1', [agent])).length
const echo = { tools: [{ name: 'echo', input: { value: 1 } }] }

test('the connection is cut again and again in mid-answer: each event comes once, the text is the stored one', async () => {
  const proxy = await startProxy(() => world.base())
  const sent = say(world, 'cut', [{ ...slow(8, 120), ...echo }, slow(20, 120)], proxy.url)
  let deltas = 0
  let cuts = 0
  const [seen, said, { runId }, outcome] = await Promise.all([
    readAll(sent, (event) => {
      if (event.type !== 'text_delta' || ++deltas % 5 !== 0) return
      cuts += 1
      proxy.cut()
    }),
    readTexts(sent.text),
    sent.accepted,
    sent,
  ])
  await expectWhole(world, 'cut', runId, seen, said)
  expect(outcome).toMatchObject({ status: 'done', runId, output: slow(20, 0).text })
  // On a busy machine several pieces come as one.
  expect(cuts).toBeGreaterThanOrEqual(1)
  expect(await runsOf('cut')).toBe(1)
  await proxy.close()
})

test('the function ends in mid-answer: the rest comes from the background executor, without a seam', async () => {
  const sent = say(world, 'deadline', [{ ...slow(12, 200), ...echo }, { ...slow(12, 200), ...echo }, slow(10, 200)])
  const [seen, said, { runId }] = await Promise.all([readAll(sent), readTexts(sent.text), sent.accepted])
  await expectWhole(world, 'deadline', runId, seen, said)
  expect(seen.events.map(({ type }) => type)).toContain('handed_off')
  expect((await world.run(runId)).slices).toBeGreaterThan(1)
})

test('the server is killed and started again in mid-answer: what was shown of the step is taken back, the text is the stored one', async () => {
  const gate = world.gate()
  const sent = say(world, 'killed', [
    { ...slow(5, 50), ...echo },
    { ...slow(20, 50), gate: gate.file },
  ])
  let killed = false
  const late = readTexts(sent.text)
  const seen = await readAll(sent, async (event) => {
    if (killed || event.type !== 'text_delta' || event.step === 1 || event.offset + event.text.length < 30) return
    killed = true
    await world.stack.kill('server-0')
    // Who died gives nothing back: its lease is over.
    await world.sql(`update baton.agents set lease_until = baton.clock() where id = 'killed'`)
    await gate.open()
  })
  const { runId } = await sent.accepted
  expect(killed).toBe(true)
  const said = await late
  await expectWhole(world, 'killed', runId, seen, said)
  const types = seen.events.map(({ type }) => type)
  expect(types.indexOf('step_reset')).toBeGreaterThan(types.indexOf('resumed') - 1)
  expect(said).toContain('')
  // What an iterator that begins now is told is the same.
  expect((await readAll(sent)).events).toEqual(seen.events)
  expect(await readTexts(sent.text)).toEqual(said)
  expect(await sent).toMatchObject({ status: 'done', runId })
})

test('the server is away when the message is sent: it is sent again under its key, and one run begins', async () => {
  const proxy = await startProxy(() => world.base(), { lose: (trip) => trip.name === 'messages' && lost++ < 2 })
  let lost = 0
  const outcome = await say(world, 'lost', [{ text: 'once' }], proxy.url)
  expect(outcome).toMatchObject({ status: 'done', output: 'once' })
  expect(lost).toBeGreaterThan(2)
  expect(await runsOf('lost')).toBe(1)
  await proxy.close()
})

test('messages that wait for their turn hold no connection while nobody reads them, and are read when somebody does', async () => {
  const proxy = await startProxy(() => world.base())
  const baton = createBaton({ url: proxy.url })
  const gate = world.gate()
  const first = say(world, 'queue', [{ ...slow(2, 20), gate: gate.file }])
  await first.accepted
  const waiting = ['one', 'two', 'three'].map((message) => baton.agents.send('queue', message))
  await Promise.all(waiting.map(({ accepted }) => accepted))
  await expect.poll(() => proxy.open()).toBe(0)
  const last = waiting.at(-1)?.outcome()
  await expect.poll(() => proxy.open()).toBe(1)
  await gate.open()
  expect(await last).toMatchObject({ status: 'done', output: 'You said: three' })
  expect(await waiting[0]).toMatchObject({ status: 'done', output: 'You said: one' })
  expect(await runsOf('queue')).toBe(4)
  await proxy.close()
})

test('an iterator that waits is left at once, and its connection with it', async () => {
  const proxy = await startProxy(() => world.base())
  const baton = createBaton({ url: proxy.url })
  const gate = world.gate()
  const sent = createBaton({ url: proxy.url }).agents.send('waits', script({ text: 'x', gate: gate.file }), { template: 'scripted' })
  const { runId } = await sent.accepted
  for (const events of [baton.agents.events('waits'), baton.runs.events(runId), sent, sent.text]) {
    await expect.poll(() => proxy.open()).toBe(0)
    const iterator = events[Symbol.asyncIterator]()
    let ended = false
    const reading = (async () => {
      while ((await iterator.next()).done !== true);
      ended = true
    })()
    await expect.poll(() => proxy.open()).toBe(1)
    expect(ended).toBe(false)
    expect(await iterator.return?.()).toEqual({ done: true, value: undefined })
    await reading
  }
  await expect.poll(() => proxy.open()).toBe(0)
  await gate.open()
  expect(await sent).toMatchObject({ status: 'done', output: 'x' })
  await proxy.close()
})

test('an agent that is deleted and made anew is another one: who watched the old one is not shown the middle of the new', async () => {
  const proxy = await startProxy(() => target)
  const baton = createBaton({ url: proxy.url })
  let target = world.base()
  await say(world, 'cleared', [{ text: 'old' }])
  const looks = (): number => proxy.trips.filter(({ name }) => name === 'cleared').length
  const { lastSeq, agentUid } = await baton.agents.get('cleared')
  for (const options of [{}, { after: lastSeq }]) {
    const seen: BatonEvent[] = []
    const watching = (async () => {
      for await (const event of baton.agents.events('cleared', options)) seen.push(event)
    })().catch((error: unknown) => error)
    // Who gives no position is told what comes after its own look at the agent.
    if (!('after' in options)) await expect.poll(looks).toBe(2)
    await say(world, 'cleared', [{ text: 'watched' }])
    const shown = (await world.agent('cleared')).lastSeq
    await expect.poll(() => seen.at(-1)).toMatchObject({ type: 'done', seq: shown })
    const before = seen.length
    // Away until the new one is longer than the old one was.
    target = ''
    proxy.cut()
    expect((await world.http('DELETE', '/api/agents/cleared')).status).toBe(204)
    for (const text of ['a', 'b', 'c', 'd', 'e']) await say(world, 'cleared', [{ text }])
    target = world.base()
    expect(await watching).toMatchObject({ code: 'cursor_expired', status: 410, problem: { oldestSeq: 1 } })
    expect(seen).toHaveLength(before)
  }
  const now = await fetch(`${world.base()}/api/agents/cleared/events`, { headers: { accept: 'application/json' } })
  expect(now.headers.get('x-baton-agent-uid')).toBe((await baton.agents.get('cleared')).agentUid)
  expect(now.headers.get('x-baton-agent-uid')).not.toBe(agentUid)
  await proxy.close()
})

test('an agent and a budget whose deletion is answered by nobody are deleted, and said to be', async () => {
  let lose = 1
  const proxy = await startProxy(() => world.base(), { lose: ({ status }) => status === 204 && lose-- > 0 })
  const baton = createBaton({ url: proxy.url })
  await baton.agents.create({ id: 'deleted', template: 'scripted' })
  await baton.agents.delete('deleted')
  expect(lose).toBe(0)
  await expect(baton.agents.delete('deleted')).rejects.toMatchObject({ code: 'agent_not_found' })
  await baton.budgets.set('agent:queue', { limitMicros: 5 })
  lose = 1
  await baton.budgets.delete('agent:queue')
  expect(lose).toBe(0)
  await proxy.close()
})

test('a run is read by anybody from anywhere, and again from the middle', async () => {
  const baton = createBaton({ url: world.base() })
  const { runId } = await say(world, 'read', [{ ...slow(4, 20), ...echo }, { text: 'the end' }])
  const all = await readAll(baton.runs.events(runId))
  const middle = all.seqs[3] ?? 0
  expect((await readAll(baton.runs.events(runId, { after: middle }))).seqs).toEqual(all.seqs.slice(4))
  expect((await readAll(baton.runs.events(runId, { after: all.seqs.at(-1) ?? 0 }))).seqs).toEqual([])
  const some: string[] = []
  for await (const event of baton.runs.events(runId, { types: ['text_delta', 'tool_end'] })) some.push(event.type)
  expect(some).toEqual(['text_delta', 'tool_end', 'text_delta'])
})
