import { expect, test } from 'vitest'
import { ask } from '#lib/api/ask.fixture'
import { listAudit } from '#lib/api/audit'
import { testServices } from '#lib/http/services.fixture'

/** An export of three pages of the audit log, each of which takes so long, to its end. */
async function read(pageMs: number, signal: AbortSignal | null = null): Promise<number> {
  let now = 0
  let pages = 0
  const listAuditPage = (_authority: unknown, { limit }: { limit: number }) => {
    now += pageMs
    pages += 1
    const data = Array.from({ length: pages === 3 ? 1 : limit }, (_, at) => ({ id: pages * 1_000 + at, at: '2026-01-01T00:00:00Z' }))
    return Promise.resolve({ ok: true, data })
  }
  const clock = { ...testServices().clock, monotonic: () => now }
  const headers = { accept: 'application/x-ndjson' }
  const answer = await ask(listAudit, '/api/audit', { clock, store: { listAudit: listAuditPage } }, { headers, signal })
  return (await answer.text()).trimEnd().split('\n').length
}

test('an export of the audit log that does not fit into its function breaks off, and so does one whose reader has gone', async () => {
  expect(await read(1)).toBe(401)
  await expect(read(30_000)).rejects.toThrow('the limit of the function')
  await expect(read(1, AbortSignal.abort())).rejects.toThrow('the limit of the function')
})
