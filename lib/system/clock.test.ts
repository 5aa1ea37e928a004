import { expect, test, vi } from 'vitest'
import { systemClock } from '#lib/system/clock'

test('a sleep that is over listens to its signal no longer, so that a long slice or stream gathers none', async () => {
  const { signal } = new AbortController()
  const [added, removed] = [vi.spyOn(signal, 'addEventListener'), vi.spyOn(signal, 'removeEventListener')]
  await systemClock().sleep(1, signal)
  expect(added).toHaveBeenCalledOnce()
  expect(removed).toHaveBeenCalledExactlyOnceWith('abort', added.mock.calls[0]?.[1])
})
