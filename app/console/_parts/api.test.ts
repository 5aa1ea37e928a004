import { afterEach, expect, test, vi } from 'vitest'
import { call, Problem, query, setLink, type SessionLink } from '#app/console/_parts/api'

afterEach(() => {
  setLink(null)
  vi.unstubAllGlobals()
})

/** A session with this word, which nobody else's has taken the place of. */
const linkOf = (word: string): SessionLink => ({ word, ended: () => undefined, renew: () => Promise.resolve(false) })

/** A server that gives all requests the same answer, and what it was asked. */
function serverThat(answers: () => Response): { method: string; headers: Record<string, string> }[] {
  const asked: { method: string; headers: Record<string, string> }[] = []
  vi.stubGlobal('fetch', (_path: string, { method, headers }: { method: string; headers: Record<string, string> }) => {
    asked.push({ method, headers })
    return Promise.resolve(answers())
  })
  return asked
}

test('each write of a session carries its word, and no read does', async () => {
  const asked = serverThat(() => Response.json({}))
  await call('POST', '/api/kill', { body: {} })
  setLink(linkOf('word'))
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'GET']) await call(method, '/api/agents', method === 'GET' ? {} : { body: {} })
  expect(asked.map(({ method, headers }) => [method, headers['x-baton-csrf']])).toEqual([
    ['POST', undefined],
    ['POST', 'word'],
    ['PUT', 'word'],
    ['PATCH', 'word'],
    ['DELETE', 'word'],
    ['GET', undefined],
  ])
})

test('a write with the word of an older session is repeated once with the new one for the same caller, and not for another', async () => {
  const stale = () => Response.json({ code: 'forbidden', reason: 'csrf' }, { status: 403 })
  const asked = serverThat(stale)
  const words = (): (string | undefined)[] => asked.splice(0).map(({ headers }) => headers['x-baton-csrf'])
  const renewed = (isSame: boolean) => (): Promise<boolean> => {
    setLink(linkOf('new'))
    return Promise.resolve(isSame)
  }
  setLink({ ...linkOf('old'), renew: renewed(true) })
  await expect(call('POST', '/api/kill', { body: {} })).rejects.toMatchObject({ status: 403 })
  expect(words()).toEqual(['old', 'new'])
  setLink({ ...linkOf('old'), renew: renewed(false) })
  await expect(call('POST', '/api/kill', { body: {} })).rejects.toMatchObject({ status: 403 })
  expect(words()).toEqual(['old'])

  // Of two that were under way at once, the second one too was sent by the caller before.
  let answer: () => void = () => undefined
  vi.stubGlobal('fetch', (_path: string, { headers }: { headers: Record<string, string> }) => {
    asked.push({ method: 'POST', headers })
    return asked.length > 1 ? Promise.resolve(stale()) : new Promise((resolve) => (answer = () => resolve(stale())))
  })
  const before = vi.fn<() => Promise<boolean>>(() => Promise.resolve(false))
  setLink({ ...linkOf('old'), renew: before })
  const late = call('POST', '/api/kill', { body: {} })
  setLink({ ...linkOf('new'), renew: () => Promise.resolve(true) })
  answer()
  await expect(late).rejects.toMatchObject({ status: 403 })
  expect([words(), before.mock.calls.length]).toEqual([['old'], 1])
})

test('a refusal for any other reason is not repeated', async () => {
  const asked = serverThat(() => Response.json({ code: 'forbidden', reason: 'scope' }, { status: 403 }))
  setLink({ ...linkOf('word'), renew: () => Promise.resolve(true) })
  await expect(call('POST', '/api/kill', { body: {} })).rejects.toMatchObject({ status: 403 })
  expect(asked.length).toBe(1)
})

test('a session that has ended is told to the page, except by the question for the session itself; a problem keeps its code and words', async () => {
  serverThat(() => Response.json({ code: 'unauthorized', detail: 'Sign in.' }, { status: 401 }))
  const ended = vi.fn<() => void>()
  setLink({ ...linkOf('word'), ended })
  const problem = await call('GET', '/api/console/session').catch((error: unknown) => error)
  expect(problem).toBeInstanceOf(Problem)
  expect(problem).toMatchObject({ status: 401, code: 'unauthorized', message: 'Sign in.' })
  expect(ended).not.toHaveBeenCalled()
  await expect(call('GET', '/api/agents')).rejects.toMatchObject({ status: 401 })
  expect(ended).toHaveBeenCalledOnce()
})

test('an answer without words, and none at all, are told as what they are', async () => {
  serverThat(() => new Response('<html>', { status: 502 }))
  await expect(call('GET', '/api/agents')).rejects.toMatchObject({ status: 502, code: 'unreachable' })
  vi.stubGlobal('fetch', () => Promise.reject(new TypeError('the connection broke')))
  await expect(call('GET', '/api/agents')).rejects.toMatchObject({ status: 0, code: 'unreachable' })
  const left = AbortSignal.abort(new Error('the page was left'))
  vi.stubGlobal('fetch', () => Promise.reject(left.reason as Error))
  await expect(call('GET', '/api/agents', { signal: left })).rejects.toThrow('the page was left')
})

test('what is empty is left out of a query, and 0 is not empty', () => {
  expect(query({ cursor: null, state: '', after: 0, name: 'a b' })).toBe('?after=0&name=a+b')
  expect(query({ cursor: undefined })).toBe('')
})
