import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { afterEach, expect, test } from 'vitest'
import { poll } from '#local/poll'
import { portClaims } from '#local/ports'
import { nothingOfEnvFiles } from '#local/stack/plan'
import { checkAnswers } from '#tests/answers'

/** A server with exactly the variables given, as somebody deploys it who has set only half of them. */
interface Half {
  base: string
  log(): string
}

const children: ChildProcess[] = []
const claims = portClaims()
const endChecks: (() => void)[] = []
afterEach(async () => {
  for (const child of children.splice(0)) {
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
  claims.release()
  for (const end of endChecks.splice(0)) end()
})

async function startServer(variables: Record<string, string>): Promise<Half> {
  const port = await claims.take(0)
  const next = createRequire(import.meta.url).resolve('next/dist/bin/next')
  const { PATH, NODE_COMPILE_CACHE } = process.env
  const environment = {
    ...nothingOfEnvFiles(),
    PATH,
    NODE_COMPILE_CACHE,
    NODE_ENV: 'production' as const,
    NEXT_TELEMETRY_DISABLED: '1',
    ...variables,
  }
  const child = spawn(process.execPath, [next, 'start', '-p', String(port), '-H', '127.0.0.1'], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.push(child)
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => (text = (text + chunk.toString()).slice(-50_000)))
  const base = `http://127.0.0.1:${port}`
  endChecks.push(checkAnswers(() => [base]))
  const up = await poll(
    async () =>
      fetch(`${base}/api/health/live`, { signal: AbortSignal.timeout(5_000) }).then(
        () => true,
        () => false,
      ),
    { everyMs: 100, forMs: 60_000 },
  )
  if (!up) throw new Error(`next start does not answer:\n${text}`)
  return { base, log: () => text }
}

async function ask(
  base: string,
  path: string,
  init: RequestInit = {},
): Promise<{ status: number; type: string | null; body: Record<string, unknown> }> {
  const response = await fetch(base + path, { ...init, signal: AbortSignal.timeout(20_000) })
  const text = await response.text()
  const type = response.headers.get('content-type')
  return { status: response.status, type, body: type?.includes('json') === true ? (JSON.parse(text) as Record<string, unknown>) : { text } }
}

const secret = 'sb_secret_never-to-be-shown'
const message = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ message: 'hi' }) }

test('503 not_configured names every variable and its cure at once, in the answer and in the log, and no value', async () => {
  const server = await startServer({
    SUPABASE_SECRET_KEY: secret,
    INNGEST_EVENT_KEY: 'event-key-value',
    BATON_LEASE_MS: 'soon',
    BATON_TENNANT: 'x',
    UPSTASH_REDIS_REST_URL: 'redis://wrong',
    VERCEL: '1',
    BATON_MAX_DURATION_MS: '3600000',
  })
  const requests: [string, RequestInit?][] = [
    ['/api/agents/a/messages', message],
    ['/api/agents'],
    ['/api/health'],
    ['/api/nothing'],
    ['/api/inngest'],
  ]
  for (const [path, init] of requests) {
    const reply = await ask(server.base, path, init)
    expect([reply.status, reply.type], path).toEqual([503, 'application/problem+json'])
    expect(reply.body, path).toMatchObject({ code: 'not_configured', retryable: false })
    const problems = reply.body['problems'] as { variable: string; problem: string; cure: string }[]
    const named = problems.map(({ variable }) => variable)
    expect(named, path).toEqual(
      expect.arrayContaining([
        'SUPABASE_URL',
        'BATON_ENV',
        'BATON_ENCRYPTION_KEY',
        'INNGEST_SIGNING_KEY',
        'BATON_LEASE_MS',
        'BATON_TENNANT',
        'UPSTASH_REDIS_REST_URL',
        'BATON_MAX_DURATION_MS',
      ]),
    )
    for (const { variable, problem, cure } of problems) {
      expect(String(reply.body['detail'])).toContain(variable)
      expect([problem.length > 0, cure.length > 10], variable).toEqual([true, true])
    }
    expect(JSON.stringify(reply.body)).not.toContain(secret)
  }
  await expect.poll(() => server.log(), { timeout: 60_000 }).toContain('BATON_ENCRYPTION_KEY')
  for (const value of [secret, 'event-key-value']) expect(server.log()).not.toContain(value)
})

// What it answers where the database says that there is no key: tests/access/production.test.ts.
test('401 outside local mode: a whole environment, and a database that cannot say whether anybody may call', async () => {
  const server = await startServer({
    BATON_ENV: 'test',
    SUPABASE_URL: 'http://127.0.0.1:9',
    SUPABASE_SECRET_KEY: secret,
    BATON_ENCRYPTION_KEY: 'ab'.repeat(32),
    INNGEST_EVENT_KEY: 'e',
    INNGEST_SIGNING_KEY: 'signkey-test-00',
  })
  const reply = await ask(server.base, '/api/agents/a/messages', message)
  expect(reply.status).toBe(401)
  expect(reply.body).toMatchObject({ code: 'unauthorized' })
  // What local mode alone has is not there.
  for (const path of ['/api/local/effects', '/api/local/time']) expect((await ask(server.base, path)).status).toBe(401)
  // Nobody but Inngest registers functions, runs one, or is told how many there are.
  for (const method of ['GET', 'PUT', 'POST'])
    expect((await ask(server.base, '/api/inngest?fnId=baton-sweep&stepId=step', { method })).status, method).toBe(401)
})

test('503 where local mode was switched on by hand, with the command that does it', async () => {
  const server = await startServer({ BATON_LOCAL: '1', SUPABASE_URL: 'http://127.0.0.1:9', SUPABASE_SECRET_KEY: secret })
  const reply = await ask(server.base, '/api/agents')
  expect([reply.status, reply.body['code']]).toEqual([503, 'not_configured'])
  expect(String(reply.body['detail'])).toMatch(/BATON_LOCAL_SECRET is missing\. Start local mode with npm run dev/)
})
