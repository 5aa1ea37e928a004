import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createBaton } from '#client/client'
import { BatonError } from '#client/errors'
import type { SentMessage } from '#client/sent'

const hour = 3_600_000
const later = (hours: number): void => void vi.setSystemTime(Date.now() + hours * hour)
beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }))
afterEach(() => void vi.useRealTimers())

const about = { channel: 'control', at: '2026-01-01T00:00:00Z', runId: 'run_1', step: 1 }
const run = { agentId: 'a', usage: {}, costMicros: 0, lastSeq: 4 }
const going = { ...about, seq: 1, type: 'state_changed', state: 'running' }
const done = { ...about, seq: 9, type: 'done', state: 'completed', output: 'hi' }
const paused = { ...about, seq: 4, type: 'state_changed', state: 'paused' }
const blocked = { channel: 'control', runId: 'run_1', step: null, type: 'blocked', blockedBy: 'approvals', blockingRunId: 'run_0' }
const approvals = [{ id: 'apr_1', tool: 'charge' }]
const json = (body: object, status = 200): Response => new Response(JSON.stringify(body), { status })
const forbidden = (): Response => json({ code: 'forbidden', status: 403 }, 403)
/** A stream that tells one event and ends, as that of a message does while nothing runs. */
const stream = (event: object): Response => {
  const id = 'seq' in event ? `id: ${String(event.seq)}\n` : ''
  const headers = { 'content-type': 'text/event-stream', 'x-baton-run-id': 'run_1' }
  return new Response(`retry: 1\n\n${id}data: ${JSON.stringify(event)}\n\n`, { headers })
}

/** A message to a server that answers so; the requests as they were made. */
function send(answer: (method: string, path: string, streams: boolean) => Response): { sent: SentMessage; asked: string[] } {
  const asked: string[] = []
  const baton = createBaton({
    url: 'http://baton.test',
    fetch: async (input, init) => {
      const [method, { pathname }] = [String(init?.method), new URL(input instanceof Request ? input.url : input)]
      asked.push(`${method} ${pathname}`)
      return answer(method, pathname, new Headers(init?.headers).get('accept') === 'text/event-stream')
    },
  })
  return { sent: baton.agents.send('a', 'hello'), asked }
}
const posts = (asked: string[]): number => asked.filter((request) => request.startsWith('POST')).length
const failureOf = (sent: SentMessage): Promise<unknown> => sent.outcome().catch((error: unknown) => error)
const gone = { code: 'connection_lost', retryable: false, runId: 'run_1', problem: { agentId: 'a' } }

test('who may only send and looks again a day later is told that the message is not sent again: its key has gone, and it would be another run', async () => {
  const { sent, asked } = send((method, _path, streams) => {
    if (method === 'GET') return forbidden()
    return streams ? stream(paused) : json({ ...run, runId: 'run_1', status: 'paused', approvals }, 202)
  })
  expect(await sent).toMatchObject({ status: 'paused', approvals })
  later(22)
  expect(await sent).toMatchObject({ status: 'paused', approvals })
  const before = posts(asked)
  later(8)
  const error = await failureOf(sent)
  expect(error).toBeInstanceOf(BatonError)
  expect(error).toMatchObject(gone)
  expect(posts(asked)).toBe(before)
})

test('a computer that sleeps for a day while it follows a message for who may only send does not send it again when it wakes', async () => {
  let slept = 0
  const { sent, asked } = send((method, _path, streams) => {
    if (method === 'GET') return forbidden()
    if (!streams) return json({ ...run, runId: 'run_1', status: 'processing' }, 202)
    later(30)
    return stream(slept++ === 0 ? going : done)
  })
  expect(await failureOf(sent)).toMatchObject(gone)
  expect(posts(asked)).toBe(1)
})

test('a first POST whose answer was lost, and a question that was, are not repeated a day later', async () => {
  const lost = send(() => {
    later(30)
    throw new TypeError('socket hang up')
  })
  expect(await failureOf(lost.sent)).toMatchObject({ code: 'connection_lost', retryable: false, problem: { agentId: 'a' } })
  expect(lost.asked).toEqual(['POST /api/agents/a/messages'])
  const asking = send((method, _path, streams) => {
    if (method === 'GET') return forbidden()
    if (streams) return stream(paused)
    later(30)
    throw new TypeError('socket hang up')
  })
  expect(await failureOf(asking.sent)).toMatchObject(gone)
  expect(posts(asking.asked)).toBe(2)
})

test('who may read is told a day later, too, that the run before the message is paused still, and nothing is sent again', async () => {
  let state = 'awaiting_approval'
  const { sent, asked } = send((method, path, streams) => {
    if (path.endsWith('/events')) return stream(done)
    if (method === 'GET')
      return json(path.endsWith('run_0') ? { ...run, id: 'run_0', state, approvals } : { ...run, id: 'run_1', state: 'queued' })
    return streams
      ? stream(blocked)
      : json({ ...run, runId: 'run_1', status: 'processing', blockedBy: 'approvals', blockingRunId: 'run_0', approvals }, 202)
  })
  const outcome = { status: 'paused', runId: 'run_1', blockedBy: 'approvals', blockingRunId: 'run_0', approvals }
  expect(await sent).toMatchObject(outcome)
  const before = posts(asked)
  later(30)
  expect(await sent).toMatchObject(outcome)
  state = 'running'
  expect(await sent).toMatchObject({ status: 'done', output: 'hi' })
  expect(posts(asked)).toBe(before)
})

test('an iterator that is left before it was ever asked lets go of its signal', async () => {
  const { signal } = new AbortController()
  const listening = new Set<unknown>()
  vi.spyOn(signal, 'addEventListener').mockImplementation((_type, listener) => void listening.add(listener))
  vi.spyOn(signal, 'removeEventListener').mockImplementation((_type, listener) => void listening.delete(listener))
  const { agents, runs } = createBaton({ url: 'http://baton.test', fetch: () => Promise.reject(new Error('not asked')) })
  for (const events of [agents.events('a', { signal }), runs.events('run_1', { signal })]) {
    const iterator = events[Symbol.asyncIterator]()
    await iterator.return?.()
    expect([listening.size, vi.mocked(signal.addEventListener).mock.calls.length > 0]).toEqual([0, true])
  }
})
