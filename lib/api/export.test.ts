import { expect, test } from 'vitest'
import { exported } from '#lib/api/export'
import type { Store } from '#lib/core/pages'
import type { Authority } from '#lib/core/store'
import { testServices } from '#lib/http/services.fixture'

const authority: Authority = { environment: 'test', credential: { operator: { tenant: 'ten', name: 'local' } }, requestId: null }

/** An export of three pages, each of which takes so long. */
async function read(pageMs: number, signal: AbortSignal = new AbortController().signal): Promise<string> {
  let now = 0
  let pages = 0
  const exportPage: Store['exportPage'] = () => {
    now += pageMs
    pages += 1
    const lines = [{ type: 'agent' as const, agentId: 'a', data: { page: pages } }]
    return Promise.resolve({ ok: true, lines, next: pages === 3 ? null : { place: pages } })
  }
  const { config, redact, clock } = testServices()
  const services = { config, redact, clock: { ...clock, monotonic: () => now }, store: { exportPage } }
  return (await exported(services, authority, 'tenant', signal)).text()
}

test('an export says in its last line that it is whole', async () => {
  const lines = (await read(1))
    .trimEnd()
    .split('\n')
    .map((line): unknown => JSON.parse(line))
  expect(lines).toHaveLength(4)
  expect(lines[3]).toEqual({ type: 'end', agentId: null, data: { scope: 'tenant', lines: 3 } })
})

test('an export that does not fit into its function breaks off, and so does one whose reader has gone: neither ends as if it were whole', async () => {
  await expect(read(30_000)).rejects.toThrow('the limit of the function')
  await expect(read(1, AbortSignal.abort())).rejects.toThrow('the limit of the function')
})

test.each([
  ['what somebody wrote as a reason', 'audit', { reason: 'it was sb_secret_x' }],
  ['what a webhook told', 'delivery', { payload: { data: { output: 'it was sb_secret_x' } } }],
])('%s leaves without its secrets, as it is shown elsewhere', async (_what, type, data) => {
  const lines = [{ type, agentId: 'a', data }]
  const exportPage: Store['exportPage'] = () => Promise.resolve({ ok: true, lines, next: null })
  const answer = await exported({ ...testServices(), store: { exportPage } }, authority, 'tenant', new AbortController().signal)
  expect(await answer.text()).not.toContain('sb_secret_x')
})
