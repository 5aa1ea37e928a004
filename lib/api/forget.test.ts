import { expect, test } from 'vitest'
import { forgetAgents } from '#lib/api/forget'
import type { AgentUid } from '#lib/core/ids'

test('what an executor wrote before it heard of the deletion is forgotten, too', async () => {
  const uid = '01a1fd04-305c-7609-96ed-0d81c8764dcf' as AgentUid
  const kept = new Set(['before'])
  const done: string[] = []
  const live = {
    halt: () => Promise.resolve(void done.push('halt')),
    forget: () => Promise.resolve(kept.clear()),
  }
  const sleep = () => Promise.resolve(void kept.add('last words'))
  await forgetAgents({ live, clock: { sleep } } as unknown as Parameters<typeof forgetAgents>[0], [uid])
  expect([done, [...kept]]).toEqual([['halt'], []])
})
