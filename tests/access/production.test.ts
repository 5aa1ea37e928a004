import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { localKeys } from '#local/keys'
import { poll } from '#local/poll'
import { portClaims } from '#local/ports'
import { nothingOfEnvFiles } from '#local/stack/plan'
import { bearer } from '#tests/access/kit'
import { checkAnswers } from '#tests/answers'
import { startWorld, type World } from '#tests/world'

/*
 * A server that is not in local mode, beside a local stack whose database it uses: what a first deployment meets.
 */

const claims = portClaims()
let world: World
let environment: NodeJS.ProcessEnv
let server: ChildProcess
let base = ''
let endChecks: () => void = () => undefined
beforeAll(async () => {
  world = await startWorld()
  const keys = await localKeys(world.dataDir)
  const { supabaseUrl, inngestUrl } = world.stack.info
  environment = {
    ...nothingOfEnvFiles(),
    NODE_ENV: 'production',
    PATH: String(process.env['PATH']),
    NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
    BATON_ENV: 'staging',
    BATON_TENANT: 'ten_staging',
    SUPABASE_URL: String(supabaseUrl),
    SUPABASE_SECRET_KEY: keys.secretKey,
    BATON_ENCRYPTION_KEY: keys.encryptionKey,
  }
  const port = await claims.take(0)
  base = `http://127.0.0.1:${port}`
  endChecks = checkAnswers(() => [base])
  const inngest = { INNGEST_DEV: String(inngestUrl), INNGEST_EVENT_KEY: keys.inngestEventKey, INNGEST_SIGNING_KEY: keys.inngestSigningKey }
  server = spawn(process.execPath, [join('local', 'parts', 'server.ts')], {
    env: { ...environment, ...inngest, SERVER_MODE: 'start', PORT: String(port), NEXT_TELEMETRY_DISABLED: '1' },
    stdio: 'ignore',
  })
  // Not listening yet is the answer "no": asked again.
  const isUp = (): Promise<boolean> =>
    fetch(`${base}/api/health/live`).then(
      (answer) => answer.ok,
      () => false,
    )
  expect(await poll(isUp, { everyMs: 100, forMs: 60_000 })).toBe(true)
})
afterAll(async () => {
  server.kill('SIGKILL')
  await world.close()
  claims.release()
  endChecks()
})

async function get(
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: Headers; body: Record<string, unknown> }> {
  const answer = await fetch(base + path, { headers, signal: AbortSignal.timeout(20_000) })
  return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Record<string, unknown> }
}

async function bootstrap(
  more: readonly string[] = [],
  changes: Record<string, string | undefined> = {},
): Promise<{ code: number | null; text: string }> {
  const child = spawn(process.execPath, [join('scripts', 'bootstrap.ts'), ...more], {
    env: { ...environment, ...changes },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, text }
}

let key = ''
test('without access control production serves nobody and names what to set; health answers', async () => {
  for (const headers of [{}, bearer('bt_unknown'), bearer('a.b.c')]) {
    const reply = await get('/api/agents', headers)
    expect(reply).toMatchObject({ status: 503, body: { code: 'access_control_missing' } })
    expect(String(reply.body['detail'])).toMatch(/npm run bootstrap.*BATON_ADMIN_KEY.*BATON_USER_TENANT/)
  }
  const { status, headers } = await get('/api/health')
  expect(status).toBe(200)
  expect(headers.get('strict-transport-security')).toMatch(/max-age=/)
  expect(headers.get('x-content-type-options')).toBe('nosniff')
  expect(headers.get('content-security-policy')).toContain("default-src 'none'")
})

test('what is not called production has no crons of its own, which would sweep beside those of production', async () => {
  expect((await get('/api/inngest')).body).toMatchObject({ function_count: 3 })
})

test('each page of the console has scripts under a word of its own, and stands in no frame', async () => {
  const words: (string | undefined)[] = []
  for (let n = 0; n < 2; n++) {
    const page = await fetch(`${base}/console`)
    const policy = page.headers.get('content-security-policy') ?? ''
    const word = /script-src 'self' 'nonce-([A-Za-z0-9+/=]{24,})' 'strict-dynamic'(?:;|$)/.exec(policy)?.[1]
    expect(await page.text()).toContain(`nonce="${word}"`)
    expect([page.headers.get('x-frame-options'), policy.includes("frame-ancestors 'none'")]).toEqual(['DENY', true])
    expect(Object.fromEntries(page.headers)).toMatchObject({
      'cache-control': expect.stringContaining('no-store') as string,
      'cross-origin-opener-policy': 'same-origin',
      'permissions-policy': expect.stringContaining('camera=()') as string,
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    })
    words.push(word)
  }
  expect(words[0]).not.toBe(words[1])
  const secure = await fetch(`${base}/console`, { headers: { 'x-forwarded-proto': 'https' } })
  expect(secure.headers.get('strict-transport-security')).toBe('max-age=31536000')
  const nowhere = await fetch(`${base}/console/agents/a/b`)
  expect([nowhere.status, nowhere.headers.get('x-frame-options')]).toEqual([404, 'DENY'])
  const word = /'nonce-([^']+)'/.exec(nowhere.headers.get('content-security-policy') ?? '')?.[1]
  const text = await nowhere.text()
  expect([text.includes('href="/console"'), text.includes(`nonce="${word}"`)]).toEqual([true, true])
})

test('npm run bootstrap makes tenant, key and webhook secret once; a second run says what exists', async () => {
  const first = await bootstrap()
  expect(first).toMatchObject({ code: 0 })
  key = /bt_[A-Za-z0-9_-]{43}/.exec(first.text)?.[0] ?? ''
  expect(key).not.toBe('')
  expect(first.text).toMatch(/tenant +ten_staging\n/)
  expect(first.text).toMatch(/webhook secret +whsec_/)
  const again = await bootstrap()
  expect(again).toMatchObject({ code: 0 })
  expect(again.text).not.toMatch(/bt_[A-Za-z0-9_-]{20}|whsec_/)
  expect(again.text).toContain('1 active')
  const rows = await world.sql(`select webhook_secret from baton.tenants where id = 'ten_staging'`)
  expect(rows).toHaveLength(1)
  expect(first.text).not.toContain(String(rows[0]?.['webhook_secret']))
  expect(await world.sql(`select actor, action, environment from baton.audit where tenant_id = 'ten_staging'`)).toMatchObject([
    { actor: 'bootstrap', action: 'key.create', environment: 'staging' },
  ])
})

test('the key works at once; without one the answer is now 401', async () => {
  expect(await get('/api/keys', bearer(key))).toMatchObject({ status: 200, body: { data: [{ name: 'bootstrap', scopes: ['admin'] }] } })
  expect(await poll(async () => (await get('/api/agents')).status === 401, { everyMs: 250, forMs: 15_000 })).toBe(true)
  // Nothing of local mode is there, and no other host name is refused.
  expect((await get('/api/local/time', bearer(key))).status).toBe(403)
  // The embedded stack's own server knows it not: it is another environment.
  expect((await world.http('GET', '/api/agents', undefined, bearer(key))).status).toBe(401)
})

test('--new-key makes another key; both are active; --new-webhook-secret another secret', async () => {
  const more = await bootstrap(['--new-key', '--new-webhook-secret'])
  expect(more.text).toMatch(/webhook secret +whsec_/)
  const second = /bt_[A-Za-z0-9_-]{43}/.exec(more.text)?.[0] ?? ''
  expect([(await get('/api/keys', bearer(key))).status, (await get('/api/keys', bearer(second))).status]).toEqual([200, 200])
})

test('what is missing or belongs to another environment is named', async () => {
  const missing = await bootstrap([], { SUPABASE_SECRET_KEY: undefined, BATON_ENCRYPTION_KEY: undefined, BATON_ENV: undefined })
  expect(missing.code).toBe(1)
  for (const name of ['SUPABASE_SECRET_KEY', 'BATON_ENCRYPTION_KEY', 'BATON_ENV']) expect(missing.text).toContain(`${name} is missing`)
  const elsewhere = await bootstrap([], { BATON_ENV: 'production' })
  expect(elsewhere.code).toBe(1)
  expect(elsewhere.text).toMatch(/ten_staging belongs to the environment staging.*BATON_TENANT/)
  expect((await bootstrap(['--nonsense'])).text).toContain('Usage')
})
