import { parseArgs } from 'node:util'
import { databaseUrl } from '#lib/env'
import { copyMigrations, migrate } from '#supabase/migrate'
import { loadLocalVariables } from '#scripts/operator/environment'

const usage = 'Usage: npm run migrate [-- --copy-to DIR] [--dry-run]'

function warnAboutPooler(url: string): void {
  if (!URL.canParse(url) || new URL(url).port !== '6543') return
  console.warn('warning: port 6543 is the transaction pooler; migrations want the direct connection or the session pooler (5432).')
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { 'copy-to': { type: 'string' }, 'dry-run': { type: 'boolean', default: false } } })
  const target = values['copy-to']
  if (target !== undefined) {
    for (const name of await copyMigrations(target)) console.log(`copied ${name}`)
    return
  }
  loadLocalVariables()
  const url = databaseUrl()
  if (url === undefined) {
    throw new Error("No database is given. Set DATABASE_URL to a direct connection (port 5432, not the pooler's 6543).")
  }
  warnAboutPooler(url)
  const dryRun = values['dry-run']
  const { applied } = await migrate({ databaseUrl: url, dryRun, log: (line) => console.log(line) })
  if (dryRun) for (const name of applied) console.log(`would apply ${name}`)
  if (applied.length === 0) console.log('nothing to apply: all migrations are applied')
  if (!dryRun) console.log('rights: nobody but the secret key may call or write')
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error))
  if (error instanceof TypeError) console.error(usage)
  process.exitCode = 1
})
