import { describe, expect, test } from 'vitest'
import { BatonError, retryAfterOf } from '#client/errors'
import { createApi, type BatonOptions } from '#client/http'
import { listOf } from '#client/pages'

interface Asked {
  method: string
  url: string
  headers: Record<string, string>
}
type Reply = () => Response | Promise<Response>
const json =
  (body: unknown, status = 200, headers: Record<string, string> = {}): Reply =>
  () =>
    new Response(JSON.stringify(body), { status, headers })
const problem = (status: number, code: string, headers: Record<string, string> = {}): Reply =>
  json({ code, status, detail: `${code} it is`, requestId: 'req_1' }, status, headers)

/** An API whose n-th request gets the n-th reply. */
function apiOf(replies: Reply[], options: Partial<BatonOptions> = {}): { api: ReturnType<typeof createApi>; asked: Asked[] } {
  const asked: Asked[] = []
  const api = createApi({
    url: 'http://baton.test/',
    fetch: async (input, init) => {
      asked.push({
        method: String(init?.method),
        url: input instanceof Request ? input.url : input.toString(),
        headers: init?.headers as Record<string, string>,
      })
      const reply = replies[asked.length - 1]
      if (reply === undefined) throw new Error('too many requests')
      return reply()
    },
    ...options,
  })
  return { api, asked }
}

describe('requests', () => {
  test('carry the credential, and the query without what is not given', async () => {
    const { api, asked } = apiOf([json({ ok: 1 })], { key: 'bt_1' })
    expect(await api.json('GET', '/api/x', { query: { a: 1, b: undefined, c: ['d', 'e'] } })).toEqual({ ok: 1 })
    expect(asked[0]).toMatchObject({ url: 'http://baton.test/api/x?a=1&c=d%2Ce', headers: { authorization: 'Bearer bt_1' } })
  })

  test('a token that was refused is asked for once more, and only once', async () => {
    const tokens: boolean[] = []
    const getToken = ({ refresh }: { refresh: boolean }): string => {
      tokens.push(refresh)
      return refresh ? 'new' : 'old'
    }
    const { api, asked } = apiOf([problem(401, 'unauthorized'), json({}), problem(401, 'unauthorized'), problem(401, 'unauthorized')], {
      getToken,
    })
    await api.json('GET', '/api/x')
    await expect(api.json('GET', '/api/x')).rejects.toMatchObject({ code: 'unauthorized', status: 401 })
    expect(asked.map(({ headers }) => headers['authorization'])).toEqual(['Bearer old', 'Bearer new', 'Bearer old', 'Bearer new'])
    expect(tokens).toEqual([false, true, false, true])
  })

  test('a problem becomes a BatonError with all that it says', async () => {
    const { api } = apiOf([problem(402, 'budget_exceeded', { 'x-should-retry': 'false' })])
    const error = await api.json('GET', '/api/x').catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(BatonError)
    expect(error).toMatchObject({
      code: 'budget_exceeded',
      status: 402,
      message: 'budget_exceeded it is',
      retryable: false,
      retryAfterMs: null,
      problem: { requestId: 'req_1' },
    })
  })

  test("what may pass is tried again; a long Retry-After and a conflict are the caller's", async () => {
    const passing = apiOf([problem(503, 'database_unavailable', { 'retry-after': '0', 'x-should-retry': 'true' }), json({ ok: 1 })])
    expect(await passing.api.json('GET', '/api/x')).toEqual({ ok: 1 })
    const long = apiOf([problem(429, 'rate_limited', { 'retry-after': '60', 'x-should-retry': 'true' })])
    await expect(long.api.json('GET', '/api/x')).rejects.toMatchObject({ code: 'rate_limited', retryable: true, retryAfterMs: 60_000 })
    const busy = apiOf([problem(409, 'agent_busy', { 'x-should-retry': 'true' })])
    await expect(busy.api.json('POST', '/api/x')).rejects.toMatchObject({ code: 'agent_busy', retryable: true })
    const ended = apiOf([problem(502, 'provider_unavailable', { 'x-should-retry': 'false' })])
    await expect(ended.api.json('POST', '/api/x')).rejects.toMatchObject({ code: 'provider_unavailable', retryable: false })
  })

  test('what a repeat would do twice is not repeated, unless it was refused', async () => {
    const away = apiOf([() => Promise.reject(new TypeError('fetch failed'))])
    await expect(away.api.json('POST', '/api/x', { repeatable: false })).rejects.toMatchObject({
      code: 'network_error',
      retryable: true,
      status: 0,
    })
    expect(away.asked).toHaveLength(1)
    const limited = apiOf([problem(429, 'rate_limited', { 'retry-after': '0' }), json({ ok: 1 })])
    expect(await limited.api.json('POST', '/api/x', { repeatable: false })).toEqual({ ok: 1 })
  })

  test('a page of a proxy and a body that is not JSON are said to be such', async () => {
    const page: Reply = () => new Response('<html>bad gateway</html>', { status: 502 })
    await expect(apiOf([page], { retries: 0 }).api.json('GET', '/api/x')).rejects.toMatchObject({ code: 'http_502', retryable: true })
    const text: Reply = () => new Response('hello')
    await expect(apiOf([text]).api.json('GET', '/api/x')).rejects.toMatchObject({ code: 'invalid_answer' })
    expect(await apiOf([() => new Response(null, { status: 204 })]).api.json('DELETE', '/api/x')).toBeUndefined()
  })

  test('an attempt that takes too long is a time-out; an abort rejects with its reason', async () => {
    const never = (_input: unknown, init?: RequestInit): Promise<Response> =>
      new Promise((_resolve, reject) => {
        const stop = (): void => reject(init?.signal?.reason as Error)
        if (init?.signal?.aborted === true) stop()
        else init?.signal?.addEventListener('abort', stop)
      })
    const api = createApi({ url: '', fetch: never, retries: 0 })
    await expect(api.json('GET', '/api/x', { timeoutMs: 20 })).rejects.toMatchObject({ code: 'timeout', retryable: true })
    const stop = new AbortController()
    const asking = api.json('GET', '/api/x', { signal: stop.signal })
    stop.abort(new Error('enough'))
    await expect(asking).rejects.toThrow('enough')
  })

  test('who gives the token may take for ever: the time and the signal end it; what it throws is thrown as it is, once', async () => {
    let asked = 0
    const never = createApi({ url: '', retries: 0, getToken: () => new Promise<string>(() => void (asked += 1)) })
    await expect(never.json('GET', '/api/x', { timeoutMs: 20 })).rejects.toMatchObject({ code: 'timeout', retryable: true })
    const stop = new AbortController()
    const asking = never.json('GET', '/api/x', { signal: stop.signal })
    stop.abort(new Error('enough'))
    await expect(asking).rejects.toThrow('enough')
    await expect(never.json('GET', '/api/x', { signal: stop.signal })).rejects.toThrow('enough')
    const connection = new AbortController()
    const opening = never.open('GET', '/api/x', {}, connection)
    connection.abort()
    await expect(opening).rejects.toMatchObject({ code: 'network_error' })
    expect(asked).toBe(3)
    const throwing = (): string => {
      asked += 1
      throw new RangeError('please sign in')
    }
    for (const getToken of [throwing, async () => throwing()]) {
      const { api } = apiOf([], { getToken })
      await expect(api.json('GET', '/api/x')).rejects.toThrow(RangeError)
      await expect(api.open('GET', '/api/x', {}, new AbortController())).rejects.toThrow('please sign in')
    }
    expect(asked).toBe(7)
  })

  test('a body that is no JSON is told as it is, and nothing is sent', async () => {
    const circle: Record<string, unknown> = {}
    circle['circle'] = circle
    for (const body of [circle, { n: 10n }]) {
      const { api, asked } = apiOf([])
      await expect(api.json('PATCH', '/api/x', { body })).rejects.toThrow(TypeError)
      await expect(api.open('POST', '/api/x', { body }, new AbortController())).rejects.toThrow(TypeError)
      expect(asked).toEqual([])
    }
  })

  test('a deletion whose answer was lost has been done when its repeat finds nothing', async () => {
    const lost: Reply = () => Promise.reject(new TypeError('socket hang up'))
    const gone = problem(404, 'agent_not_found')
    expect(await apiOf([lost, gone]).api.json('DELETE', '/api/x')).toBeUndefined()
    await expect(apiOf([gone]).api.json('DELETE', '/api/x')).rejects.toMatchObject({ status: 404 })
    await expect(apiOf([lost, gone]).api.json('GET', '/api/x')).rejects.toMatchObject({ status: 404 })
    const page: Reply = () => new Response('<html>bad gateway</html>', { status: 502 })
    const busy = problem(429, 'rate_limited', { 'retry-after': '0', 'x-should-retry': 'true' })
    // Its database did not answer: the row may have gone all the same.
    const away = problem(503, 'database_unavailable', { 'retry-after': '0', 'x-should-retry': 'true' })
    for (const replies of [
      [page, gone],
      [away, gone],
      [lost, busy, gone],
    ])
      expect(await apiOf(replies).api.json('DELETE', '/api/x')).toBeUndefined()
  })

  test('a deletion that was only refused before has done nothing: what is not there is said to be so, also where no Baton answers', async () => {
    const gone = problem(404, 'agent_not_found')
    const refused = problem(429, 'rate_limited', { 'retry-after': '0' })
    await expect(apiOf([refused, gone]).api.json('DELETE', '/api/x')).rejects.toMatchObject({ code: 'agent_not_found' })
    const lost: Reply = () => Promise.reject(new TypeError('socket hang up'))
    const elsewhere: Reply = () => new Response('<html>no such page</html>', { status: 404 })
    await expect(apiOf([lost, elsewhere]).api.json('DELETE', '/api/x')).rejects.toMatchObject({ code: 'http_404' })
  })

  test('Retry-After is seconds or a date', () => {
    const now = Date.parse('2026-11-21T00:00:00Z')
    expect(
      [null, '', 'soon', '2', '0.5', 'Sat, 21 Nov 2026 00:00:30 GMT', 'Sat, 21 Nov 2020 00:00:30 GMT'].map((text) =>
        retryAfterOf(text, now),
      ),
    ).toEqual([null, null, null, 2_000, 500, 30_000, 0])
  })
})

test('a list is iterated over its pages, which are fetched as they are needed', async () => {
  const replies = [json({ data: [1, 2], nextCursor: 'c' }), json({ data: [3], nextCursor: null })]
  const { api, asked } = apiOf([...replies, ...replies])
  const list = listOf<number>(api, '/api/x', { limit: 2 })
  const items: number[] = []
  for await (const item of list) items.push(item)
  expect(items).toEqual([1, 2, 3])
  expect(asked.map(({ url }) => new URL(url).search)).toEqual(['?limit=2', '?limit=2&cursor=c'])
  for await (const item of list) if (item === 2) break
  expect(asked).toHaveLength(3)
})
