import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Part } from '#local/supervisor'
import type { Plan } from '#local/stack/plan'

/** Process ids of a stack; null for a part that is real, or between an end and the next start. */
export interface StackPids {
  supervisor: number
  servers: (number | null)[]
  postgres: number | null
  redis: number | null
  executor: number | null
  supabase: number | null
}

/** The contents of DIR/local.json: where everything is. Null where a part is real. */
export interface StackInfo {
  baseUrls: string[]
  supabaseUrl: string | null
  publishableKey: string | null
  secretKey: string | null
  databaseUrl: string | null
  redisUrl: string | null
  redisToken: string | null
  inngestUrl: string | null
  pids: StackPids
}

/** The present state of a stack in the form of local.json. */
export function stackInfo(plan: Plan, parts: readonly Part[]): StackInfo {
  const pid = (name: string): number | null => parts.find((part) => part.name === name)?.pid() ?? null
  const embedded = <T>(part: 'supabase' | 'redis' | 'inngest', value: T): T | null => (plan.real.includes(part) ? null : value)
  return {
    baseUrls: plan.baseUrls,
    supabaseUrl: embedded('supabase', plan.supabaseUrl),
    publishableKey: embedded('supabase', plan.keys.publishableKey),
    secretKey: embedded('supabase', plan.keys.secretKey),
    databaseUrl: plan.databaseUrl ?? null,
    redisUrl: embedded('redis', plan.redisUrl),
    redisToken: embedded('redis', plan.keys.redisToken),
    inngestUrl: embedded('inngest', plan.inngestUrl),
    pids: {
      supervisor: process.pid,
      servers: plan.baseUrls.map((_, index) => pid(`server-${index}`)),
      postgres: pid('postgres'),
      redis: pid('redis'),
      executor: pid('executor'),
      supabase: pid('supabase'),
    },
  }
}

/** Writes DIR/local.json (mode 0600: it holds keys) so that a reader never sees half of it. */
export function writeInfo(dataDir: string, info: StackInfo): void {
  const file = join(dataDir, 'local.json')
  const draft = `${file}.${process.pid}.new`
  writeFileSync(draft, `${JSON.stringify(info, null, 2)}\n`, { mode: 0o600 })
  renameSync(draft, file)
}

/** Removes DIR/local.json. */
export function removeInfo(dataDir: string): void {
  rmSync(join(dataDir, 'local.json'), { force: true })
}
