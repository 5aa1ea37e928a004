import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'

const run = promisify(execFile)
const identity = ['-c', 'user.name=test', '-c', 'user.email=test@example.com', '-c', 'commit.gpgsign=false']
let folder: string
const at = (repository: string, path: string): string => join(folder, repository, path)
const git = async (repository: string, ...words: string[]): Promise<string> =>
  (await run('git', [...identity, ...words], { cwd: join(folder, repository) })).stdout.trim()

async function put(repository: string, files: Record<string, string | null>, message: string): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(at(repository, path)), { recursive: true })
    if (text === null) await rm(at(repository, path))
    else await writeFile(at(repository, path), text)
  }
  await git(repository, 'add', '-A')
  await git(repository, 'commit', '-qm', message)
}

/** The command itself is this repository's; the folder it works in is another. */
async function upgrade(...parameters: string[]): Promise<{ code: number; out: string }> {
  const settings = ['user.name', 'user.email'].flatMap((name, index) => [
    [`GIT_CONFIG_KEY_${index}`, name],
    [`GIT_CONFIG_VALUE_${index}`, 'test'],
  ])
  const env = { ...process.env, DATABASE_URL: '', POSTGRES_URL_NON_POOLING: '', GIT_CONFIG_COUNT: '2', ...Object.fromEntries(settings) }
  try {
    const { stdout } = await run(process.execPath, [join(import.meta.dirname, 'upgrade.ts'), ...parameters], {
      cwd: join(folder, 'mine'),
      env,
    })
    return { code: 0, out: stdout }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, out: stdout + stderr }
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'baton-upgrade-'))
  await mkdir(join(folder, 'baton'))
  await git('baton', 'init', '-q', '-b', 'main')
  await put(
    'baton',
    {
      'lib/agents/index.ts': 'first\n',
      'lib/agents/basic.ts': 'first\n',
      'lib/providers.ts': 'first\n',
      'lib/engine/advance.ts': 'first\nsecond\nthird\n',
      'supabase/migrations/0001_tables.sql': 'select 1;\n',
    },
    'one',
  )
  await git('baton', 'tag', 'v0.9.0')
  await run('git', ['clone', '-q', join(folder, 'baton'), join(folder, 'mine')])
  await put('mine', { 'lib/agents/index.ts': 'mine\n', 'lib/agents/support.ts': 'mine\n', 'app.txt': 'mine\n' }, 'mine')
  await put(
    'baton',
    {
      'lib/agents/index.ts': 'second\n',
      'lib/agents/basic.ts': null,
      'lib/agents/extra.ts': 'second\n',
      'lib/providers.ts': 'second\n',
      'lib/engine/advance.ts': 'changed\nsecond\nthird\n',
      'supabase/migrations/0002_more.sql': 'select 2;\n',
    },
    'two',
  )
  await git('baton', 'tag', 'v0.10.0')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('changes that are not committed stop it before anything is done', async () => {
  await writeFile(at('mine', 'app.txt'), 'open\n')
  expect(await upgrade()).toMatchObject({ code: 2, out: expect.stringContaining('nothing was done') })
  await git('mine', 'checkout', '-q', '--', 'app.txt')
})

test('the newest release is merged, yours stays as it was, and the migrations are named', async () => {
  const { code, out } = await upgrade()
  expect({ code, out }).toMatchObject({ code: 0, out: expect.stringContaining('v0.10.0 is merged and not committed') })
  expect(out).toContain('supabase/migrations/0002_more.sql')
  expect(await readFile(at('mine', 'lib/engine/advance.ts'), 'utf8')).toBe('changed\nsecond\nthird\n')
  expect(await readFile(at('mine', 'lib/agents/index.ts'), 'utf8')).toBe('mine\n')
  expect(await readFile(at('mine', 'lib/agents/support.ts'), 'utf8')).toBe('mine\n')
  expect(await readFile(at('mine', 'lib/agents/basic.ts'), 'utf8')).toBe('first\n')
  expect(await readFile(at('mine', 'lib/providers.ts'), 'utf8')).toBe('first\n')
  await expect(readFile(at('mine', 'lib/agents/extra.ts'))).rejects.toThrow('ENOENT')
  expect(await git('mine', 'diff', '--name-only', '--diff-filter=U')).toBe('')
  await git('mine', 'commit', '-qm', 'upgrade')
  expect(await upgrade()).toMatchObject({ code: 0, out: expect.stringContaining('nothing to do') })
})

test('a file of Baton that was changed here is told, and only that one', async () => {
  await put('mine', { 'lib/engine/advance.ts': 'mine\nsecond\nthird\n' }, 'a change inside')
  await put('baton', { 'lib/engine/advance.ts': 'again\nsecond\nthird\n', 'lib/agents/index.ts': 'third\n' }, 'three')
  await git('baton', 'tag', 'v0.11.0')
  const { code, out } = await upgrade('v0.11.0')
  expect({ code, out }).toMatchObject({ code: 1, out: expect.stringMatching(/settle them by hand\.\n {2}lib\/engine\/advance\.ts\n/) })
  expect(await readFile(at('mine', 'lib/agents/index.ts'), 'utf8')).toBe('mine\n')
  await git('mine', 'merge', '--abort')
  expect(await upgrade('v9.9.9')).toMatchObject({ code: 2 })
})
