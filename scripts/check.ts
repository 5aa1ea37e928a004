import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { z } from 'zod'

/*
 * `npm run check` and `npm test`: the one line that a commit has to pass. Cheap steps first, two at a time; all stops at the first that
 * fails.
 * Every tool is run by this process's own Node, whatever the PATH says.
 */

const root = join(import.meta.dirname, '..')
const require = createRequire(import.meta.url)
const report = join(mkdtempSync(join(tmpdir(), 'baton-check-')), 'tests.json')
const longestOutput = 200_000

/** One tool of the line: `bin` of `package` with arguments; `limitS` seconds are a bound against hanging: hosts differ by ten times. */
interface Step {
  name: string
  package: string
  bin: string
  args: string[]
  limitS: number
  /** Shown while it runs, because it takes minutes; the others show their output only when they fail. */
  streams?: boolean
}

const format: Step = { name: 'format', package: 'oxfmt', bin: 'oxfmt', args: ['--check', '.'], limitS: 300 }
const lint: Step = { name: 'lint', package: 'oxlint', bin: 'oxlint', args: ['--deny-warnings'], limitS: 300 }
const types: Step = { name: 'types', package: 'typescript', bin: 'tsc', args: [], limitS: 300 }
const client: Step = { name: 'client', package: 'typescript', bin: 'tsc', args: ['-p', 'lib/client'], limitS: 300 }
const unused: Step = {
  name: 'unused',
  package: 'knip',
  bin: 'knip',
  args: ['--no-progress', '--treat-config-hints-as-errors'],
  limitS: 300,
}
const build: Step = { name: 'build', package: 'next', bin: 'next', args: ['build'], limitS: 600 }
const tests: Step = {
  name: 'tests',
  package: 'vitest',
  bin: 'vitest',
  args: ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`],
  limitS: 2_400,
  streams: true,
}

/** What goes beside what, one after the other. Whoever reads types must not meet the build, which writes some. */
const phases: readonly (readonly Step[][])[] = [
  [
    [types, client],
    [format, lint],
  ],
  [[build], [unused]],
  [[tests]],
]

/** The script of a package's command, read from its package.json. */
function scriptOf(step: Step): string {
  const file = join(root, 'node_modules', step.package, 'package.json')
  const { bin } = z.object({ bin: z.union([z.string(), z.record(z.string(), z.string())]) }).parse(require(file))
  const script = typeof bin === 'string' ? bin : bin[step.bin]
  if (script === undefined) throw new Error(`${step.package} has no command ${step.bin}`)
  return join(dirname(file), script)
}

/** Runs a step to its end and gives its exit code (null: it was ended by its time limit) and the end of its output. */
async function run(step: Step, signal: AbortSignal): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [scriptOf(step), ...step.args], {
    cwd: root,
    env: {
      ...process.env,
      PATH: [dirname(process.execPath), join(root, 'node_modules', '.bin'), process.env['PATH']].join(delimiter),
      NEXT_TELEMETRY_DISABLED: '1',
      // Next's build insists on production, vitest on test: neither takes what the shell has.
      NODE_ENV: step.bin === 'next' ? 'production' : 'test',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const [from, to] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ] as const) {
    from.on('data', (chunk: Buffer) => {
      if (step.streams === true) to.write(chunk)
      else output = (output + chunk.toString()).slice(-longestOutput)
    })
  }
  let late = false
  let kill: NodeJS.Timeout | undefined
  const limit = setTimeout(() => {
    late = true
    child.kill('SIGTERM')
    kill = setTimeout(() => child.kill('SIGKILL'), 20_000)
  }, step.limitS * 1_000)
  const pass = (given: NodeJS.Signals): void => void child.kill(given)
  const stop = (): void => void child.kill('SIGTERM')
  signal.addEventListener('abort', stop)
  process.on('SIGINT', pass).on('SIGTERM', pass)
  const code = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve))
  clearTimeout(limit)
  clearTimeout(kill)
  process.off('SIGINT', pass).off('SIGTERM', pass)
  signal.removeEventListener('abort', stop)
  if (late) output += `\nended: it took longer than its ${step.limitS} s`
  return { code: late ? null : code, output }
}

const counts = z.object({ numPassedTests: z.int(), numFailedTests: z.int(), numPendingTests: z.int(), numFailedTestSuites: z.int() })

/** What the tests say of themselves; a file that fell over before its tests counts as one failure. */
function counted(ok: boolean): string {
  if (!existsSync(report)) return '0 passed, 1 failed'
  const { numPassedTests, numFailedTests, numPendingTests, numFailedTestSuites } = counts.parse(JSON.parse(readFileSync(report, 'utf8')))
  const failed = ok ? 0 : Math.max(1, numFailedTests, numFailedTestSuites === 0 ? 0 : 1)
  return `${numPassedTests} passed, ${failed} failed${numPendingTests === 0 ? '' : `, ${numPendingTests} skipped`}`
}

const seconds = (from: number): string => `${((performance.now() - from) / 1_000).toFixed(1).padStart(6)} s`

const began = performance.now()

/** Does steps one after the other until one fails or another lane has failed; false then, and the first to fail says why. */
async function lane(steps: readonly Step[], failed: AbortController): Promise<boolean> {
  for (const step of steps) {
    if (failed.signal.aborted) return false
    const from = performance.now()
    const { code, output } = await run(step, failed.signal)
    if (failed.signal.aborted) return false
    console.log(`${code === 0 ? 'ok  ' : 'FAIL'} ${step.name.padEnd(8)}${seconds(from)}`)
    if (code === 0) continue
    failed.abort()
    if (output !== '') console.log(output.trim())
    console.log(`stopped at "${step.name}" after${seconds(began)}`)
    console.log(step.name === 'tests' ? counted(false) : '0 passed, 1 failed')
    return false
  }
  return true
}

async function main(): Promise<boolean> {
  const failed = new AbortController()
  // What a build before has written of routes that are gone would be read as code; this line's own build writes it again.
  for (const types of ['types', 'dev/types']) rmSync(join(root, '.next', types), { recursive: true, force: true })
  for (const lanes of phases) {
    const passed = await Promise.all(lanes.map((steps) => lane(steps, failed)))
    if (!passed.every(Boolean)) return false
  }
  console.log(`ok   all     ${seconds(began)}`)
  console.log(counted(true))
  return true
}

try {
  process.exitCode = (await main()) ? 0 : 1
} finally {
  rmSync(dirname(report), { recursive: true, force: true })
}
