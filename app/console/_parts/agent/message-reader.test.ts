import { afterEach, expect, test, vi } from 'vitest'
import { createMessageReader, type Messages } from '#app/console/_parts/agent/message-reader'

afterEach(() => vi.unstubAllGlobals())

/** An agent's conversation as GET /api/agents/{id}/messages hands it out, oldest first; queued ones only with the last page. */
function conversation(count: number) {
  const entered = Array.from({ length: count }, (_, index) => ({ seq: index + 1, content: `m${index + 1}` }))
  // `fits`: so many of the messages are as large as a page may be; `queueFits`: so many of those that wait.
  const at = { entered, queued: [] as { content: string }[], asked: [] as string[], fits: 1_000, queueFits: 1_000 }
  vi.stubGlobal('fetch', (path: string) => {
    const { search, searchParams } = new URL(path, 'http://console.test')
    at.asked.push(search)
    const [limit, after, before] = [
      Number(searchParams.get('limit')),
      Number(searchParams.get('after') ?? 0),
      Number(searchParams.get('before') ?? 0),
    ]
    const fit = at.entered.filter(({ seq }) => seq > after && (before === 0 || seq < before))
    const most = Math.min(limit, at.fits)
    const data = before === 0 ? fit.slice(0, most) : fit.slice(-most)
    const more = data.length === most && before === 0
    // Behind what entered only what it leaves room for.
    const queued = more || before !== 0 ? [] : at.queued.slice(0, data.length > 0 ? Math.max(0, at.queueFits - 1) : at.queueFits)
    const isCut = more || (before === 0 && queued.length < at.queued.length)
    return Promise.resolve(Response.json({ data: [...data, ...queued], nextCursor: isCut ? 'more' : null }))
  })
  return at
}

/** A page that opens an agent of `count` messages. */
function opened(count: number) {
  const at = conversation(count)
  let shown: Messages = { from: -1, entered: [], queued: [] }
  const reader = createMessageReader('/api/agents/a/messages', count, (messages) => (shown = messages))
  const say = (messages: number): void => {
    for (let added = 0; added < messages; added++) at.entered.push({ seq: at.entered.length + 1, content: 'new' })
  }
  const range = (): (number | undefined)[] => {
    const numbers = shown.entered.map(({ seq }) => seq)
    expect(numbers).toEqual(numbers.map((_, index) => shown.from + 1 + index))
    return [numbers[0], numbers.at(-1)]
  }
  return { at, reader, say, range, shown: () => shown, newer: () => reader.newer(new AbortController().signal) }
}

test('the newest message is shown however many earlier ones were asked for, and what was shown stays', async () => {
  const { reader, say, range, newer, shown } = opened(500)
  await newer()
  expect(range()).toEqual([401, 500])
  for (const from of [301, 201]) {
    await reader.earlier()
    say(1)
    await newer()
    expect(range()).toEqual([from, shown().entered.length + from - 1])
    expect(shown().entered.at(-1)?.content).toBe('new')
  }
  expect(range()).toEqual([201, 502])
})

test('pages that end at their bytes are read on to the newest message, and back to the first', async () => {
  const { at, reader, range, newer, shown } = opened(230)
  at.fits = 30
  await newer()
  expect(range()).toEqual([131, 230])
  for (const from of [31, 1]) {
    await reader.earlier()
    expect(range()).toEqual([from, 230])
  }
  expect(shown().from).toBe(0)
})

test('a page that is left open follows the conversation, message by message or after a long sleep', async () => {
  const { say, range, newer } = opened(150)
  for (let message = 0; message < 250; message++) {
    say(1)
    await newer()
  }
  expect(range()).toEqual([51, 400])
  say(1_000)
  await newer()
  expect(range()).toEqual([51, 1_400])
})

test('what waits in the queue comes last, and is there once when it has entered', async () => {
  const { at, reader, say, newer, shown } = opened(300)
  await newer()
  await reader.earlier()
  at.queued.push({ content: 'waits' })
  await newer()
  expect(shown().queued).toMatchObject([{ content: 'waits' }])
  at.queued.length = 0
  say(1)
  await newer()
  expect(shown().queued).toEqual([])
})

test('of a queue that is larger than a page the first page is shown, and nothing is asked for again', async () => {
  const { at, newer, shown } = opened(3)
  at.queued.push({ content: 'first' }, { content: 'second' }, { content: 'third' })
  for (const [queueFits, asked, queued] of [
    [3, 1, ['first', 'second']],
    [1, 2, ['first']],
  ] as const) {
    at.queueFits = queueFits
    at.asked.length = 0
    await newer()
    expect(at.asked).toHaveLength(asked)
    expect(shown().queued.map(({ content }) => content)).toEqual(queued)
    expect(shown().entered).toHaveLength(3)
  }
})

test('the beginning is the end of going back, also where the oldest are no longer kept', async () => {
  const { at, reader, newer, range } = opened(260)
  await newer()
  await reader.earlier()
  await reader.earlier()
  expect(range()).toEqual([1, 260])
  const asked = at.asked.length
  await reader.earlier()
  expect(at.asked.length).toBe(asked)

  const kept = opened(300)
  await kept.newer()
  kept.at.entered.splice(0, 150)
  await kept.reader.earlier()
  expect([kept.shown().from, kept.shown().entered[0]?.seq]).toEqual([0, 151])
})

test('a last message that was repaired is shown as it is now; an answer for a reading that was left changes nothing', async () => {
  const { at, reader, newer, shown } = opened(120)
  await newer()
  at.entered[119] = { seq: 120, content: 'repaired' }
  await newer()
  expect(shown().entered.at(-1)?.content).toBe('repaired')
  at.entered[119] = { seq: 120, content: 'later' }
  const left = new AbortController()
  const reading = reader.newer(left.signal)
  left.abort()
  await reading
  expect(shown().entered.at(-1)?.content).toBe('repaired')
})
