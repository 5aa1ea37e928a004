import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { Environment } from '#lib/env'
import { localKeys } from '#local/keys'
import { notOnVercel } from '#local/stack/plan'
import { hasStubs } from '#scripts/operator/stubs'

const localInfo = z.object({
  baseUrls: z.array(z.string()).min(1),
  supabaseUrl: z.string().nullable(),
  databaseUrl: z.string().nullable(),
  redisUrl: z.string().nullable(),
  inngestUrl: z.string().nullable(),
})

/**
 * Reads the variables of .env.local where there is one, then of that of the app around Baton; what is set already wins. Nothing where the command was
 * given a file (`node --env-file`): a deployment's variables with a developer's in their gaps are neither's.
 */
export function loadLocalVariables(): void {
  if (process.execArgv.some((given) => given.startsWith('--env-file'))) return
  for (const file of ['.env.local', ...(hasStubs('..') ? ['../.env.local'] : [])]) if (existsSync(file)) process.loadEnvFile(file)
}

/**
 * The environment that an operator's command works on: the variables that are set, those of .env.local (also of the app around Baton), or, where neither names a Supabase
 * project (or `local` names a folder), the local stack that runs.
 */
export async function operatorEnvironment(local?: string): Promise<Environment> {
  loadLocalVariables()
  const { env } = process
  if (local === undefined && (env['SUPABASE_URL'] ?? env['NEXT_PUBLIC_SUPABASE_URL'] ?? '') !== '') return env
  const folder = local ?? '.baton'
  const file = join(folder, 'local.json')
  if (!existsSync(file)) {
    if (local !== undefined) throw new Error(`No local stack runs in ${folder}: ${file} is missing. Start one with npm run dev.`)
    return env
  }
  const info = localInfo.parse(JSON.parse(readFileSync(file, 'utf8')))
  const keys = await localKeys(folder)
  const given = (name: string, value: string | null | undefined): Record<string, string> => (value == null ? {} : { [name]: value })
  return {
    ...env,
    ...notOnVercel,
    BATON_LOCAL: '1',
    BATON_LOCAL_SECRET: 'read-by-a-command',
    BATON_ENV: 'local',
    BATON_ENCRYPTION_KEY: keys.encryptionKey,
    ...given('BATON_BASE_URL', info.baseUrls[0]),
    ...given('DATABASE_URL', info.databaseUrl),
    ...(info.supabaseUrl === null ? {} : { SUPABASE_URL: info.supabaseUrl, SUPABASE_SECRET_KEY: keys.secretKey }),
    ...(info.redisUrl === null ? {} : { UPSTASH_REDIS_REST_URL: info.redisUrl, UPSTASH_REDIS_REST_TOKEN: keys.redisToken }),
    ...(info.inngestUrl === null
      ? {}
      : { INNGEST_DEV: info.inngestUrl, INNGEST_EVENT_KEY: keys.inngestEventKey, INNGEST_SIGNING_KEY: keys.inngestSigningKey }),
  }
}
