import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { localKeys } from '#local/keys'
import { nothingOfEnvFiles } from '#local/stack/plan'
import type { World } from '#tests/world'

/** What a command said; `fails` are its lines that begin with FAIL. */
export interface Said {
  code: number
  out: string
  fails: string[]
}

/** The commands of an operator against a world, with the variables that its deployment would have. */
export interface Commands {
  environment: NodeJS.ProcessEnv
  /** Runs a file of scripts/ with changes of the environment. */
  run(script: string, parameters?: string[], changes?: Record<string, string>): Promise<Said>
  /** npm run doctor, an event having `wait` seconds for its round. */
  doctor(changes?: Record<string, string>, wait?: string): Promise<Said>
}

/** Commands for this world, `more` variables beside its own. */
export async function commandsFor(world: World, more: Record<string, string> = {}): Promise<Commands> {
  const keys = await localKeys(world.dataDir)
  const { supabaseUrl, redisUrl, inngestUrl, databaseUrl } = world.stack.info
  const environment: NodeJS.ProcessEnv = {
    ...nothingOfEnvFiles(),
    NODE_ENV: 'production',
    PATH: String(process.env['PATH']),
    NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
    BATON_LOCAL: '1',
    BATON_LOCAL_SECRET: 'of-a-test-of-the-doctor',
    BATON_ENV: 'local',
    BATON_BASE_URL: world.base(),
    BATON_ENCRYPTION_KEY: keys.encryptionKey,
    SUPABASE_URL: String(supabaseUrl),
    SUPABASE_SECRET_KEY: keys.secretKey,
    DATABASE_URL: String(databaseUrl),
    UPSTASH_REDIS_REST_URL: String(redisUrl),
    UPSTASH_REDIS_REST_TOKEN: keys.redisToken,
    INNGEST_DEV: String(inngestUrl),
    INNGEST_EVENT_KEY: keys.inngestEventKey,
    INNGEST_SIGNING_KEY: keys.inngestSigningKey,
    ...more,
  }
  const run: Commands['run'] = (script, parameters = [], changes = {}) =>
    new Promise((resolve) => {
      const options = { env: { ...environment, ...changes }, timeout: 110_000 }
      execFile(process.execPath, [join('scripts', script), ...parameters], options, (error, stdout, stderr) => {
        const out = `${stdout}${stderr}`
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
        resolve({ code, out, fails: out.split('\n').filter((line) => line.startsWith('FAIL')) })
      })
    })
  return { environment, run, doctor: (changes = {}, wait = '3') => run('doctor.ts', ['--wait', wait], changes) }
}
