import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import type { PartMessage } from '#local/parts/part'
import { poll } from '#local/poll'
import { portClaims } from '#local/ports'
import { startProxy } from '#tests/proxy'

/** A PostgREST-compatible door to one database: the stack's own part, or the real PostgREST where BATON_POSTGREST names its binary. */
export interface Door {
  url: string
  secretKey: string
  kind: 'local part' | 'PostgREST'
  close(): Promise<void>
}

/** Starts the door to `databaseUrl`; throws with its output when it does not answer within 30 s. */
export async function startDoor(databaseUrl: string): Promise<Door> {
  const binary = process.env['BATON_POSTGREST']
  return binary === undefined ? startPart(databaseUrl) : startPostgrest(binary, databaseUrl)
}

async function startPart(databaseUrl: string): Promise<Door> {
  const text = (bytes: number): string => randomBytes(bytes).toString('base64url')
  const keys = { publishableKey: `sb_publishable_${text(24)}`, secretKey: `sb_secret_${text(24)}`, jwtSecret: text(48) }
  const claims = portClaims()
  const port = await claims.take(0)
  const url = `http://127.0.0.1:${port}`
  const child = run([process.execPath, join('local', 'parts', 'supabase.ts')], {
    SUPABASE_PORT: String(port),
    SUPABASE_DATABASE_URL: databaseUrl,
    SUPABASE_PUBLISHABLE_KEY: keys.publishableKey,
    SUPABASE_SECRET_KEY: keys.secretKey,
    SUPABASE_JWT_SECRET: keys.jwtSecret,
    SUPABASE_SITE_URL: url,
  })
  // One that is gone already does not take it: `answers` says what it has printed.
  child.send({ kind: 'database-ready' } satisfies PartMessage, () => undefined)
  await answers(child, `${url}/health`)
  return {
    url,
    secretKey: keys.secretKey,
    kind: 'local part',
    async close() {
      await end(child)
      claims.release()
    },
  }
}

/** Real Supabase has a gateway that takes /rest/v1 off; here a small proxy does. The key is a legacy service_role JWT. */
async function startPostgrest(binary: string, databaseUrl: string): Promise<Door> {
  const secret = randomBytes(32).toString('hex')
  const claims = portClaims()
  const port = await claims.take(0)
  const admin = await claims.take(0)
  const child = run([binary], {
    PGRST_DB_URI: databaseUrl,
    PGRST_DB_SCHEMAS: 'public',
    PGRST_DB_ANON_ROLE: 'anon',
    PGRST_DB_POOL: '10',
    PGRST_JWT_SECRET: secret,
    PGRST_SERVER_HOST: '127.0.0.1',
    PGRST_SERVER_PORT: String(port),
    PGRST_ADMIN_SERVER_PORT: String(admin),
    PGRST_LOG_LEVEL: 'error',
  })
  await answers(child, `http://127.0.0.1:${admin}/ready`)
  const proxy = await startProxy(`http://127.0.0.1:${port}`, { rewrite: (path) => path.replace(/^\/rest\/v1/, '') })
  const secretKey = await new SignJWT({ role: 'service_role' })
    .setProtectedHeader({ alg: 'HS256' })
    .setExpirationTime('1h')
    .sign(new TextEncoder().encode(secret))
  return {
    url: proxy.url,
    secretKey,
    kind: 'PostgREST',
    async close() {
      await proxy.close()
      await end(child)
      claims.release()
    },
  }
}

const printed = new WeakMap<ChildProcess, string[]>()

function run(command: readonly string[], environment: Record<string, string>): ChildProcess {
  const [program = '', ...parameters] = command
  const child = spawn(program, parameters, {
    env: { NODE_ENV: 'production', PATH: process.env['PATH'], ...environment },
    // By its channel the part sees that a test run was killed, and ends.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const lines: string[] = []
  printed.set(child, lines)
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      if (lines.length < 200) lines.push(chunk.toString())
    })
  }
  return child
}

async function answers(child: ChildProcess, url: string): Promise<void> {
  const up = await poll(
    async () => {
      if (child.exitCode !== null) return true
      // Not listening yet is the answer "no": asked again below.
      const response = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => null)
      await response?.arrayBuffer()
      return response?.status === 200
    },
    { everyMs: 50, forMs: 60_000 },
  )
  if (up && child.exitCode === null) return
  child.kill('SIGKILL')
  throw new Error(`the door did not open: ${(printed.get(child) ?? []).join('').slice(-2_000)}`)
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
}
