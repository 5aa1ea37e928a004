import { expect, test } from 'vitest'
import { forgetAgents } from '#lib/api/forget'
import type { AgentUid } from '#lib/core/ids'

test('what an executor wrote before it heard of the deletion is forgotten, too', async () => {
  const uid = '01a1fd04-305c-7609-96ed-0d81c8764dcf' as AgentUid
  const kept = new Set(['before'])
  const done: string[] = []
  let heard = false
  const live = {
    halt: () => Promise.resolve(void done.push('halt')),
    // Until it has heard, an executor writes on behind whatever is deleted.
    forget() {
      kept.clear()
      if (!heard) kept.add('last words')
      return Promise.resolve()
    },
  }
  const sleep = () => Promise.resolve(void (heard = true))
  await forgetAgents({ live, clock: { sleep } } as unknown as Parameters<typeof forgetAgents>[0], [uid])
  expect([done, [...kept]]).toEqual([['halt'], []])
})
