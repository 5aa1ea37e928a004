import { afterEach, expect, test, vi } from 'vitest'
import { leftAfter, sendMessage } from '#app/console/_parts/agent/send-message'
import { startRun, createStarting } from '#app/console/_parts/agents/start-run'
import { createTries } from '#app/console/_parts/tries'

afterEach(() => vi.unstubAllGlobals())

test('the stream of an accepted message is left: those that wait for their turn would hold all connections of the page', async () => {
  const left: string[] = []
  vi.stubGlobal('fetch', (path: string) =>
    Promise.resolve(
      path.endsWith('/messages') ? new Response(new ReadableStream({ cancel: () => void left.push(path) })) : Response.json({}),
    ),
  )
  await sendMessage(createTries(), 'busy', 'one', 'enqueue', true)
  await sendMessage(createTries(), 'ready', 'one', 'enqueue', false)
  await startRun(createStarting(), { template: 'basic', id: 'new', asks: [], message: 'one', sliceMs: null })
  expect(left).toEqual(['busy', 'ready', 'new'].map((agent) => `/api/agents/${agent}/messages`))
})

test('a message that has been sent leaves the box; what was typed while it was on its way stays', () => {
  expect(leftAfter('first', 'first')).toBe('')
  expect(leftAfter('first', 'second')).toBe('second')
  expect(leftAfter('first', 'first and more')).toBe('first and more')
})
