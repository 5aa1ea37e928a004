import { expect, test } from 'vitest'
import { answerPause } from '#lib/api/chat-answers'
import type { Answers } from '#lib/api/chat-body'
import { testServices } from '#lib/http/services.fixture'
import type { Services } from '#lib/services'
import type { Caller } from '#lib/http/caller'

const caller = { kind: 'user', requestId: null, credential: {} } as unknown as Caller

/** A chat that waits for the approvals of these ids. */
function chat(...pending: string[]) {
  const asked: string[] = []
  const store = {
    getAgent: () => Promise.resolve({ ok: true, agent: { agentUid: 'uid' } }),
    getApproval(_authority: unknown, id: string) {
      asked.push(id)
      const approval = { id, agentUid: 'uid', runId: 'run_1', state: 'pending' }
      return Promise.resolve(pending.includes(id) ? { ok: true, approval } : { ok: false, code: 'approval_not_found' })
    },
  }
  const services = { ...testServices(), store } as unknown as Services
  const answer = (approvals: Answers['approvals']) => answerPause(services, caller, 'a', { approvals, outputs: new Map() })
  return { asked, answer }
}
const decision = (id: string, approved = true) => ({ id, approved, reason: undefined })

test('a message that names thousands of approvals is refused at the first that is none of its own', async () => {
  const { asked, answer } = chat()
  const many = Array.from({ length: 5_000 }, (_none, n) => decision(`apr_${n}`))
  await expect(answer(many)).rejects.toMatchObject({ code: 'approval_not_found' })
  expect(asked.length).toBeLessThanOrEqual(20)
})

test('a message that allows and denies the same is refused before anything is asked or done', async () => {
  const { asked, answer } = chat('apr_1')
  await expect(answer([decision('apr_1'), decision('apr_1', false)])).rejects.toMatchObject({ code: 'conflict' })
  expect(asked).toEqual([])
})
