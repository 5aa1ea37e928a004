import { readdirSync } from 'node:fs'
import { join } from 'node:path'

/** The text of lib/env/migrations.ts: a deployed function has no files to look at, and an app around Baton builds without its next.config. */
export function migrationsModule(): string {
  const names = readdirSync(join(import.meta.dirname, '..', '..', 'supabase', 'migrations')).toSorted()
  const lines = names.map((name) => `  '${name}',\n`).join('')
  return `/** The migrations of this code, which health holds against the ledger of the database. Written by \`npm run docs\` from supabase/migrations: do not edit. */\nexport const migrations: readonly string[] = [\n${lines}]\n`
}
