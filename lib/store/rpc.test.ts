import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { BatonError, reasonOf } from '#lib/core/errors'
import { supabaseRpc } from '#lib/store/rpc'
import { systemClock } from '#lib/system/clock'

/** What a caller is told of a gateway that answers so. */
async function told(status: number, body: object): Promise<{ code: string; detail: string; reason: string }> {
  const gateway = createServer((_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  await new Promise<void>((done) => gateway.listen(0, '127.0.0.1', done))
  onTestFinished(() => void gateway.close())
  const rpc = supabaseRpc({ url: `http://127.0.0.1:${(gateway.address() as AddressInfo).port}`, secretKey: 'wrong', clock: systemClock() })
  const error: unknown = await rpc('baton_health', {}).catch((thrown: unknown) => thrown)
  if (!(error instanceof BatonError)) throw new Error('no error of ours')
  return { code: error.code, detail: error.message, reason: reasonOf(error) }
}

test.each<[string, number, object, string, RegExp, RegExp]>([
  [
    'a key that is signed wrongly',
    401,
    { code: 'PGRST301', message: 'No suitable key' },
    'not_configured',
    /SUPABASE_SECRET_KEY/,
    /401 PGRST301 No suitable key/,
  ],
  [
    'a key of a role that may call nothing',
    403,
    { code: '42501', message: 'permission denied' },
    'not_configured',
    /SUPABASE_SECRET_KEY/,
    /403 42501 permission denied/,
  ],
  [
    'a restricted project',
    402,
    { message: 'exceed_egress_quota' },
    'database_unavailable',
    /not reachable/,
    /^baton_health: 402 exceed_egress_quota/,
  ],
  [
    'a gateway that was asked too often',
    429,
    { message: 'slow down' },
    'database_unavailable',
    /not reachable/,
    /^baton_health: 429 slow down/,
  ],
  ['a call that the database refuses', 400, { code: '22P02', message: 'invalid' }, 'internal_error', /refused a call/, /22P02 invalid/],
])('%s is told as what it is', async (_what, status, body, code, detail, reason) => {
  expect(await told(status, body)).toEqual({ code, detail: expect.stringMatching(detail), reason: expect.stringMatching(reason) })
})

test('a gateway that takes the call and never answers is given up', async () => {
  const silent = createServer(() => undefined)
  await new Promise<void>((done) => silent.listen(0, '127.0.0.1', done))
  onTestFinished(() => {
    silent.closeAllConnections()
    silent.close()
  })
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  const rpc = supabaseRpc({ url, secretKey: 'any', clock: systemClock(), timeoutMs: 50 })
  const enough = new AbortController()
  const waited = systemClock().sleep(30_000, enough.signal)
  const told = await Promise.race([rpc('baton_health', {}).catch((thrown: unknown) => thrown), waited])
  enough.abort()
  expect(told).toMatchObject({ code: 'database_unavailable', cause: { message: expect.stringMatching(/^baton_health: TimeoutError/) } })
})

test('a key of another project is named as what is wrong, and how it was refused', async () => {
  expect(await told(401, { message: 'Invalid API key' })).toEqual({
    code: 'not_configured',
    detail: expect.stringContaining('SUPABASE_SECRET_KEY'),
    reason: expect.stringMatching(/^baton_health: 401 .*Invalid API key/),
  })
})
