import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { root } from '#tests/project/sources'

/* The first steps of docs/adopt.md in an app outside of this repository, whose packages would hide what is missing. tests/adopt builds one and runs it. */

/** The tsconfig.json that create-next-app writes, and without Baton, which has its own. */
const usualTsconfig = {
  compilerOptions: {
    target: 'ES2017',
    lib: ['dom', 'dom.iterable', 'esnext'],
    allowJs: true,
    skipLibCheck: true,
    strict: true,
    noEmit: true,
    esModuleInterop: true,
    module: 'esnext',
    moduleResolution: 'bundler',
    resolveJsonModule: true,
    isolatedModules: true,
    jsx: 'preserve',
  },
  include: ['**/*.ts'],
  exclude: ['node_modules', 'baton'],
}

const run = promisify(execFile)
let host: string
beforeAll(async () => {
  host = await mkdtemp(join(tmpdir(), 'baton-adopt-'))
  await mkdir(join(host, 'src', 'app'), { recursive: true })
  await writeFile(join(host, 'package.json'), '{"name": "theirs"}')
  await writeFile(join(host, 'tsconfig.json'), JSON.stringify(usualTsconfig))
  const parts = ['app', 'inngest', 'lib', 'local', 'scripts', 'supabase', 'package.json', 'tsconfig.json']
  const filter = (path: string): boolean => !/\.test\.tsx?$/.test(path)
  await Promise.all(parts.map((part) => cp(join(root, part), join(host, 'baton', part), { recursive: true, filter })))
})
afterAll(() => rm(host, { recursive: true }))

const adopt = () => run(process.execPath, ['baton/scripts/adopt.ts'], { cwd: host, timeout: 100_000 })

test('it runs first, in an app where no package is installed', async () => {
  expect((await adopt()).stdout).toMatch(/^written src\/app\/api\/agents\/route\.ts$[\s\S]*^written package\.json$/m)
})

test('what the app then imports of Baton passes the type check of its build, under the usual tsconfig.json', async () => {
  await symlink(join(root, 'node_modules'), join(host, 'node_modules'))
  await adopt()
  const checked = await run(join(root, 'node_modules/.bin/tsc'), ['-p', host], { timeout: 100_000 }).catch(
    (error: { stdout: string }) => error,
  )
  expect(checked.stdout).toBe('')
})
