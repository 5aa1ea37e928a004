import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cp, mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'

const usage = `Usage: npm run rollback-check [-- REF] [--tests FOLDER]...
  Whether one could go back: builds the code of REF, gives it the migrations that stand here, and runs its own tests of its own behaviour on that schema.
  REF        default: the newest release (v1.2.3), else the commit before the last one that changed supabase/migrations
  --tests    folders of REF's system tests, default ${defaultTests().join(' ')}
  Exit code 0: the former code works on the newer schema.`

/** What callers see; tests that read tables themselves would test the schema, which is meant to be another. */
function defaultTests(): string[] {
  return ['tests/acceptance', 'tests/approvals', 'tests/kill', 'tests/webhooks', 'tests/chat']
}
const run = promisify(execFile)

async function git(...words: string[]): Promise<string> {
  return (await run('git', words, { timeout: 120_000, maxBuffer: 20_000_000 })).stdout.trim()
}

async function formerCode(): Promise<string> {
  const tags = (await git('tag', '--list', 'v*', '--sort=-v:refname')).split('\n')
  const release = tags.find((tag) => /^v\d+\.\d+\.\d+$/.test(tag))
  if (release !== undefined) return release
  if ((await git('status', '--porcelain', 'supabase/migrations')) !== '') return 'HEAD'
  return `${await git('log', '-1', '--format=%H', '--', 'supabase/migrations')}^`
}

/** Runs a command in the folder, its output shown; rejects when it fails. */
function shown(folder: string, command: string, ...words: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, PATH: `${join(folder, 'node_modules', '.bin')}:${String(process.env['PATH'])}` }
    const child = spawn(command, words, { cwd: folder, stdio: 'inherit', env, timeout: 1_800_000 })
    child.on('error', reject)
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${command} ${words.join(' ')}: exit code ${code}`))))
  })
}

const text = (path: string): Promise<string> => readFile(path, 'utf8')

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { tests: { type: 'string', multiple: true }, help: { type: 'boolean', default: false } },
    allowPositionals: true,
  })
  if (values.help) return console.log(usage)
  const ref = positionals[0] ?? (await formerCode())
  const commit = await git('rev-parse', '--verify', `${ref}^{commit}`)
  const folder = join(process.cwd(), '.baton', `rollback-${randomBytes(4).toString('hex')}`)
  const schema = join('supabase', 'migrations')
  const differs = (await git('diff', '--name-only', commit, '--', schema)).split('\n').filter((line) => line !== '')
  console.log(
    `The code of ${await git('log', '-1', '--format=%h %cs %s', commit)} on the migrations that stand here; they differ in ${differs.length} files:`,
  )
  for (const path of differs) console.log(`  ${path}`)
  await mkdir('.baton', { recursive: true })
  await git('worktree', 'add', '--detach', folder, commit)
  try {
    if ((await text('package-lock.json')) === (await text(join(folder, 'package-lock.json'))))
      await run('cp', ['-al', 'node_modules', folder])
    else await shown(folder, 'npm', 'ci')
    await shown(folder, 'next', 'build')
    // Built with its own names, as it was deployed; then the schema goes on without it.
    await rm(join(folder, schema), { recursive: true })
    await cp(schema, join(folder, schema), { recursive: true })
    await shown(folder, 'vitest', 'run', '--project', 'system', ...(values.tests ?? defaultTests()))
    console.log(`\nThe code of ${ref} works on the schema that stands here.`)
  } finally {
    await rm(folder, { recursive: true, force: true })
    await git('worktree', 'prune')
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
})
