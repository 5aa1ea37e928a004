import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { parseArgs } from 'node:util'
import { parseScope, scopeText } from '#lib/core/scope'
import type { ExportPlace } from '#lib/core/operations'
import { openOperator } from '#scripts/operator/store'

const usage = `Usage: npm run export -- agent:ID|user:ID|tenant [--out FILE] [--tenant ID]
  Writes everything that is kept as JSON lines, {type, agentId, data}; the last line has the type end. Without --out to standard output.
  --tenant ID  another tenant than the deployment's own
  --local DIR  the local stack that runs with this data folder`

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { out: { type: 'string' }, tenant: { type: 'string' }, local: { type: 'string' }, help: { type: 'boolean', default: false } },
  })
  if (values.help) return console.log(usage)
  const scope = positionals.length === 1 ? parseScope(positionals[0] ?? '') : null
  if (scope === null || scope.id === '*' || !['agent', 'user', 'tenant'].includes(scope.kind))
    throw new TypeError('Name agent:ID, user:ID or tenant.')
  const { out, tenant, local } = values
  const { store, authority } = await openOperator('export', {
    ...(tenant === undefined ? {} : { tenant }),
    ...(local === undefined ? {} : { local }),
  })
  const target = out === undefined ? process.stdout : createWriteStream(out, { mode: 0o600 })
  const write = async (line: unknown): Promise<void> => {
    if (!target.write(`${JSON.stringify(line)}\n`)) await once(target, 'drain')
  }
  let at: ExportPlace = null
  let lines = 0
  do {
    const page = await store.exportPage(authority, { scope: scopeText(scope), at })
    if (!page.ok) throw new Error(`The export was refused: ${page.code}`)
    for (const line of page.lines) await write(line)
    lines += page.lines.length
    at = page.next
  } while (at !== null)
  await write({ type: 'end', agentId: null, data: { scope: scopeText(scope), lines } })
  if (out === undefined) return
  target.end()
  await once(target, 'finish')
  console.error(`${lines} lines written to ${out}`)
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error))
  if (error instanceof TypeError) console.error(usage)
  process.exitCode = 1
})
