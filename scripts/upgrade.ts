import { execFile } from 'node:child_process'
import { parseArgs, promisify } from 'node:util'
import { databaseUrl } from '#lib/env'
import { migrate } from '#supabase/migrate'
import { loadLocalVariables } from '#scripts/operator/environment'

const usage = `Usage: npm run upgrade [-- TAG] [--remote NAME]
  Merges a release of Baton into this repository, by default the newest (v1.2.3) of the remote, and says which migrations come with it. Your files
  (lib/agents, lib/tools, lib/hooks, lib/providers.ts) stay as they are, whatever the release has there. Nothing is committed: look at it, run the
  tests, then git commit; git merge --abort takes it back.
  --remote NAME  where Baton comes from: a remote or an address; default the remote baton, else upstream, else origin`

/** What no release changes (docs/architecture.md). */
const yours = ['lib/agents', 'lib/tools', 'lib/hooks', 'lib/providers.ts']
const run = promisify(execFile)

async function git(...words: string[]): Promise<string> {
  return (await run('git', words, { timeout: 300_000, maxBuffer: 50_000_000 })).stdout.trimEnd()
}
const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '')

/** The newest vN.N.N of the remote. */
async function newest(remote: string): Promise<string> {
  const listed = lines(await git('ls-remote', '--tags', '--refs', remote)).flatMap(
    (line) => /refs\/tags\/(v(\d+)\.(\d+)\.(\d+))$/.exec(line) ?? [],
  )
  const tags = listed.filter((tag) => /^v\d+\.\d+\.\d+$/.test(tag)).toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }))
  const tag = tags.at(-1)
  if (tag === undefined) throw new Error(`${remote} has no release (a tag such as v1.2.3). Name a tag or branch.`)
  return tag
}

/** Puts your files back as they were: what the release changed there is undone, what it added is taken away, what it deleted stays. */
async function keepYours(): Promise<string[]> {
  const changed = lines(await git('diff', '--name-only', '--no-renames', 'HEAD', '--', ...yours))
  for (const path of changed) {
    const wasThere = await git('cat-file', '-e', `HEAD:${path}`).then(
      () => true,
      () => false,
    )
    if (wasThere) await git('checkout', 'HEAD', '--', path)
    else await git('rm', '-f', '--quiet', '--', path)
  }
  return changed
}

async function pending(): Promise<void> {
  const changed = lines(await git('diff', '--name-only', 'HEAD', '--', 'supabase/migrations'))
  console.log(changed.length === 0 ? 'No migration comes with it.' : `Migrations that come with it:\n  ${changed.join('\n  ')}`)
  loadLocalVariables()
  const url = databaseUrl()
  if (changed.length === 0) return
  if (url === undefined)
    return console.log('Apply them with npm run migrate (DATABASE_URL is not set here) before the deployment of this code.')
  const { applied } = await migrate({ databaseUrl: url, dryRun: true })
  console.log(`On this database npm run migrate would apply: ${applied.join(', ') || 'nothing'}. Do it before the deployment of this code.`)
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { remote: { type: 'string' }, help: { type: 'boolean', default: false } },
  })
  if (values.help) return console.log(usage)
  if (positionals.length > 1) throw new TypeError('Name one tag.')
  if ((await git('status', '--porcelain')) !== '')
    throw new Error('There are changes that are not committed. Commit or stash them first; nothing was done.')
  const remotes = lines(await git('remote'))
  const remote = values.remote ?? ['baton', 'upstream', 'origin'].find((name) => remotes.includes(name))
  if (remote === undefined) throw new Error('Where does Baton come from? Name it with --remote.')
  const tag = positionals[0] ?? (await newest(remote))
  await git('fetch', '--no-tags', remote, tag)
  const release = await git('rev-parse', 'FETCH_HEAD^{commit}')
  const isIn = await git('merge-base', '--is-ancestor', release, 'HEAD').then(
    () => true,
    () => false,
  )
  if (isIn) return console.log(`${tag} is in already: nothing to do.`)
  // A conflict is no end: those in your files are settled below, the rest is told.
  await git('merge', '--no-commit', '--no-ff', release).catch((error: unknown) => {
    if (!/CONFLICT/.test(String((error as { stdout?: unknown }).stdout))) throw error
  })
  const kept = await keepYours()
  console.log(`${tag} is merged and not committed.`)
  if (kept.length > 0) console.log(`Yours, and as they were (the release has another text):\n  ${kept.join('\n  ')}`)
  const conflicts = lines(await git('diff', '--name-only', '--diff-filter=U'))
  if (conflicts.length > 0) console.log(`You have changed these files of Baton: settle them by hand.\n  ${conflicts.join('\n  ')}`)
  await pending()
  console.log(
    `\nNext: npm ci && npm test, then git commit${conflicts.length > 0 ? ' once the conflicts are settled' : ''}. git merge --abort takes it back.`,
  )
  process.exitCode = conflicts.length > 0 ? 1 : 0
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error))
  if (error instanceof TypeError) console.error(usage)
  process.exitCode = 2
})
