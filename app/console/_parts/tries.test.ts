import { afterEach, expect, test, vi } from 'vitest'
import { retryRun, sendMessage, type Sending } from '#app/console/_parts/agent/send-message'
import { createStarting, startRun, type StartRequest } from '#app/console/_parts/agents/start-run'
import { createTries, type Kept, type Tries } from '#app/console/_parts/tries'

afterEach(() => vi.unstubAllGlobals())

interface Sent {
  path: string
  key: string | undefined
  body: Record<string, unknown>
}

/** A server that takes every request; the answers to those whose number is listed never reach the page. */
function serverLosing(...lost: number[]): Sent[] {
  const sent: Sent[] = []
  vi.stubGlobal('fetch', (path: string, { headers, body }: { headers: Record<string, string>; body: string }) => {
    sent.push({ path, key: headers['idempotency-key'], body: JSON.parse(body) as Record<string, unknown> })
    return lost.includes(sent.length) ? Promise.reject(new TypeError('the connection broke')) : Promise.resolve(Response.json({ id: 'x' }))
  })
  return sent
}
const unanswered = { code: 'unreachable' }

test('a message whose answer was lost is sent again as the same one, though the agent works by then; the next one is another', async () => {
  const sent = serverLosing(1)
  const tries = createTries<Sending>()
  await expect(sendMessage(tries, 'a', 'go', 'steer', false)).rejects.toMatchObject(unanswered)
  await sendMessage(tries, 'a', 'go', 'steer', true)
  await sendMessage(tries, 'a', 'go', 'steer', true)
  expect(sent.map(({ body }) => body['onBusy'])).toEqual(['enqueue', 'enqueue', 'steer'])
  expect(sent[0]?.key).toMatch(/^[0-9a-f-]{36}$/)
  expect(sent[1]?.key).toBe(sent[0]?.key)
  expect(sent[2]?.key).not.toBe(sent[0]?.key)
})

test('who changes the message, or what shall become of it, sends another one', async () => {
  const sent = serverLosing(1, 2)
  const tries = createTries<Sending>()
  await expect(sendMessage(tries, 'a', 'go', 'steer', true)).rejects.toMatchObject(unanswered)
  await expect(sendMessage(tries, 'a', 'go', 'interrupt', true)).rejects.toMatchObject(unanswered)
  await sendMessage(tries, 'a', 'stop', 'interrupt', true)
  expect(new Set(sent.map(({ key }) => key)).size).toBe(3)
})

/** The memory of a box that is made anew whenever its page is opened. */
function boxes(): () => Tries<Sending> {
  let held: ReturnType<Kept<Sending>['read']>
  return () => createTries({ read: () => held, keep: (next) => (held = next) })
}

test('who comes back to the page and sends the same words the same way sends the same message, until its answer is there', async () => {
  const sent = serverLosing(1)
  const opened = boxes()
  await expect(sendMessage(opened(), 'a', 'go', 'steer', true)).rejects.toMatchObject(unanswered)
  const way = opened().open()?.way
  expect(way).toBe('steer')
  await sendMessage(opened(), 'a', 'go', String(way), false)
  expect(opened().open()).toBeUndefined()
  await sendMessage(opened(), 'a', 'go', 'steer', true)
  expect(sent[1]).toEqual(sent[0])
  expect(sent[2]?.key).not.toBe(sent[0]?.key)
})

test('an answer that comes late ends its own try, and not that of what was sent since', async () => {
  const opened = boxes()
  const answer = Promise.withResolvers<Response>()
  const late: Promise<Response>[] = [answer.promise, Promise.reject(new TypeError('the connection broke'))]
  vi.stubGlobal('fetch', () => late.shift())
  const first = sendMessage(opened(), 'a', 'one', 'steer', true)
  await expect(sendMessage(opened(), 'a', 'two', 'steer', true)).rejects.toMatchObject(unanswered)
  const { key } = opened().open() ?? {}
  answer.resolve(Response.json({}))
  await first
  const sent = serverLosing()
  await sendMessage(opened(), 'a', 'two', 'steer', true)
  expect(sent[0]?.key).toBe(key)
})

test('a retry whose answer was lost is the same retry; one of another run is not', async () => {
  const sent = serverLosing(1)
  const keys = createTries<string>()
  await expect(retryRun(keys, 'run_1')).rejects.toMatchObject(unanswered)
  await retryRun(keys, 'run_1')
  await retryRun(keys, 'run_2')
  expect(sent[0]?.key).toBeDefined()
  expect(sent[1]?.key).toBe(sent[0]?.key)
  expect(sent[2]?.key).not.toBe(sent[0]?.key)
})

const request: StartRequest = { template: 'assistant', id: '', asks: [], message: 'go', sliceMs: null }

test('a run is started once in one agent, whichever answers were lost', async () => {
  const sent = serverLosing(1, 3)
  const starting = createStarting()
  await expect(startRun(starting, request)).rejects.toMatchObject(unanswered)
  await expect(startRun(starting, request)).rejects.toMatchObject(unanswered)
  const name = await startRun(starting, request)
  const made = sent.filter(({ path }) => path === '/api/agents')
  const messages = sent.filter(({ path }) => path !== '/api/agents')
  expect(made.map(({ body }) => body['id'])).toEqual([name, name, name])
  expect(messages.map(({ path }) => path)).toEqual(Array.from({ length: 2 }, () => `/api/agents/${name}/messages`))
  expect(messages[0]?.key).toBeDefined()
  expect(messages[1]?.key).toBe(messages[0]?.key)
})

test('a message that is changed after a refusal goes to the agent that was made; another template makes another', async () => {
  const sent = serverLosing(2)
  const starting = createStarting()
  await expect(startRun(starting, request)).rejects.toMatchObject(unanswered)
  const changed = await startRun(starting, { ...request, message: 'come', sliceMs: 5 })
  const other = await startRun(starting, { ...request, template: 'other', asks: ['charge'] })
  expect(sent[0]?.body['id']).toBe(changed)
  expect(sent[3]?.key).not.toBe(sent[1]?.key)
  expect(sent[3]?.body).toEqual({ message: 'come', limits: { sliceMs: 5 } })
  expect(other).not.toBe(changed)
  expect(sent[4]?.body).toEqual({ template: 'other', id: other, permission: { ask: ['charge'] } })
})

test('an agent that is named is the one that is named', async () => {
  const sent = serverLosing()
  expect(await startRun(createStarting(), { ...request, id: 'support-1' })).toBe('support-1')
  expect(sent[0]?.body).toEqual({ template: 'assistant', id: 'support-1' })
})
