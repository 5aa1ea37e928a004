import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { envExample } from '#lib/env/example'
import { configDoc } from '#scripts/docs/config'
import { errorsDoc } from '#scripts/docs/errors'
import { metricsDoc } from '#scripts/docs/metrics'
import { migrationsModule } from '#scripts/docs/migrations'

/* `npm run docs`: writes the files that are made from code. A test says when one of them has fallen behind. */

const made: Readonly<Record<string, string>> = {
  'docs/errors.md': errorsDoc(),
  'docs/config.md': configDoc(),
  'docs/metrics.md': metricsDoc(),
  '.env.example': envExample(),
  'lib/env/migrations.ts': migrationsModule(),
}

for (const [path, text] of Object.entries(made)) {
  writeFileSync(join(import.meta.dirname, '..', path), text)
  console.log(`written: ${path}`)
}
