import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/*
 * `npm run conformance`: installs other people's clients (tests/conformance has a lockfile of its own) and drives the built server with
 * them. Arguments are passed on to vitest.
 */

const root = join(import.meta.dirname, '..')
const folder = join(root, 'tests/conformance')
const installMs = 5 * 60_000
const testsMs = 20 * 60_000

/** Runs a command to its end with its output shown; ends this process with its code when it fails. */
function run(command: string, args: string[], cwd: string, timeout: number): void {
  const { status, error } = spawnSync(command, args, { cwd, stdio: 'inherit', timeout })
  if (error !== undefined) console.error(`${command} ${args[0] ?? ''}: ${error.message}`)
  if (status !== 0) process.exit(status ?? 1)
}

const installed = join(folder, 'node_modules/.package-lock.json')
if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(join(folder, 'package-lock.json')).mtimeMs) {
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], folder, installMs)
}
const packages = createRequire(import.meta.url)
const bin = (name: string, file: string): string => join(dirname(packages.resolve(`${name}/package.json`)), file)
if (!existsSync(join(root, '.next/BUILD_ID'))) run(process.execPath, [bin('next', 'dist/bin/next'), 'build'], root, installMs)
// The example's page among it: that its types fit the clients as they come is part of what is promised.
run(process.execPath, [bin('typescript', 'bin/tsc'), '-p', folder], root, installMs)
run(
  process.execPath,
  [bin('vitest', 'vitest.mjs'), 'run', '--config', join(folder, 'vitest.config.ts'), ...process.argv.slice(2)],
  root,
  testsMs,
)
