import { once } from 'node:events'
import { open, rename, rm } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { parseScope, scopeText } from '#lib/core/scope'
import { exportText, type ExportLine, type ExportPlace } from '#lib/core/operations'
import type { Store } from '#lib/core/pages'
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
  const { store, authority, redact } = await openOperator('export', {
    ...(tenant === undefined ? {} : { tenant }),
    ...(local === undefined ? {} : { local }),
  })
  const page = (at: ExportPlace) => store.exportPage(authority, { scope: scopeText(scope), at })
  const lineOf = (line: ExportLine): string => exportText(line, redact)
  const pages = (write: Write) => exportTo(write, page, lineOf, scopeText(scope))
  if (out === undefined) return void (await pages(toStandardOutput))
  const lines = await toFile(out, async (write) => {
    const written = await pages(write)
    if (written > 0) return written
    throw new Error(
      `Nothing is kept of ${scopeText(scope)}: is the tenant (--tenant), and the environment, the right one? ${out} was not written.`,
    )
  })
  console.error(`${lines} lines written to ${out}`)
}

type Write = (text: string) => Promise<unknown>

const toStandardOutput: Write = async (text) => {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain')
}

/** The file is there when all is in it: an earlier one may be the only copy of what has been deleted since. */
async function toFile<Result>(out: string, work: (write: Write) => Promise<Result>): Promise<Result> {
  const part = `${out}.part`
  await rm(part, { force: true })
  const file = await open(part, 'wx', 0o600)
  try {
    const result = await work((text) => file.appendFile(text))
    await file.sync()
    await rename(part, out)
    return result
  } catch (error) {
    await rm(part, { force: true })
    throw error
  } finally {
    await file.close()
  }
}

/** Writes all pages and the last line; the number of lines before that. */
async function exportTo(
  write: Write,
  page: (at: ExportPlace) => ReturnType<Store['exportPage']>,
  lineOf: (line: ExportLine) => string,
  scope: string,
): Promise<number> {
  let at: ExportPlace = null
  let lines = 0
  do {
    const answer = await page(at)
    if (!answer.ok) throw new Error(`The export was refused: ${answer.code}`)
    if (answer.lines.length > 0) await write(answer.lines.map(lineOf).join(''))
    lines += answer.lines.length
    at = answer.next
  } while (at !== null)
  await write(`${JSON.stringify({ type: 'end', agentId: null, data: { scope, lines } })}\n`)
  return lines
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error))
  if (error instanceof TypeError) console.error(usage)
  process.exitCode = 1
})
