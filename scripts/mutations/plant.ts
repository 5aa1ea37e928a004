import { execFileSync, spawn } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { z } from 'zod'
import type { Mutation } from '#scripts/mutations/mutation'
import { root } from '#scripts/proof/listing'

/** A copy of the tree in which faults are planted; the work tree is only read. */
export interface Copy {
  folder: string
  remove(): Promise<void>
}

/** What became of a fault. `misfit`: its text no longer stands once in the file. `broken`: the test did not run at all. */
export type Outcome = 'caught' | 'survived' | 'misfit' | 'broken'

const longestTestMs = 1_200_000
const longestBuildMs = 600_000
const keptOutput = 4_000

/** How often a text stands in another. */
export function occurrences(text: string, part: string): number {
  return text.split(part).length - 1
}

/** Copies what git tracks and what is new, and links the installed packages. */
export async function copyTree(): Promise<Copy> {
  const folder = await mkdtemp(join(tmpdir(), 'baton-mutations-'))
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
  for (const path of listed.split('\0').filter((name) => name !== '')) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await cp(join(root, path), join(folder, path)).catch((error: NodeJS.ErrnoException) => {
      // Deleted in the work tree and still in the index.
      if (error.code !== 'ENOENT') throw error
    })
  }
  // Hard links: the bundler takes no link that points out of its root, and a copy would be 1 GB.
  execFileSync('cp', ['-al', join(root, 'node_modules'), join(folder, 'node_modules')])
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) }
}

async function run(
  copy: Copy,
  script: readonly string[],
  limitMs: number,
  mode: 'production' | 'test',
): Promise<{ code: number | null; output: string }> {
  const [program = '', ...parameters] = script
  const child = spawn(process.execPath, [join(copy.folder, 'node_modules', program), ...parameters], {
    cwd: copy.folder,
    env: {
      ...process.env,
      PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter),
      NODE_ENV: mode,
      NEXT_TELEMETRY_DISABLED: '1',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: limitMs,
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-keptOutput)))
  const code = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve))
  return { code, output }
}

/** True when a test drives a built server; the others run the sources themselves. */
export async function needsServer(file: string): Promise<boolean> {
  return /startWorld|startGuarded/.test(await readFile(join(root, file), 'utf8'))
}

/** What the runner asks for before any system test, where none of the chosen ones drives a server. */
export async function pretendBuild(copy: Copy): Promise<void> {
  await mkdir(join(copy.folder, '.next'), { recursive: true })
  await writeFile(join(copy.folder, '.next', 'BUILD_ID'), 'none')
}

/** Makes the production build of the copy. Throws with the end of its output. */
export async function build(copy: Copy): Promise<void> {
  const { code, output } = await run(copy, ['next/dist/bin/next', 'build'], longestBuildMs, 'production')
  if (code !== 0) throw new Error(`the build failed:\n${output}`)
}

const ranTest = z.object({ title: z.string(), status: z.string(), failureMessages: z.array(z.string()).default([]) })
type RanTest = z.output<typeof ranTest>
const report = z.object({
  testResults: z.array(z.object({ assertionResults: z.array(ranTest) })),
})

/** The tests of some names that ran, with how they ended: passed or failed. */
export async function runTests(copy: Copy, tests: readonly Mutation['test'][]): Promise<{ ran: RanTest[]; output: string }> {
  const file = join(copy.folder, 'mutations-report.json')
  await rm(file, { force: true })
  const names = tests.map(({ name }) => pattern(name)).join('|')
  const files = [...new Set(tests.map((test) => test.file))]
  const { output } = await run(
    copy,
    ['vitest/vitest.mjs', 'run', ...files, '-t', `(?:${names})$`, '--reporter=json', `--outputFile=${file}`],
    longestTestMs,
    'test',
  )
  const text = await readFile(file, 'utf8').catch(() => '{"testResults":[]}')
  const all = report.parse(JSON.parse(text)).testResults.flatMap(({ assertionResults }) => assertionResults)
  return { ran: all.filter(({ status }) => status === 'passed' || status === 'failed'), output }
}

/** A name as a pattern: what a table of values puts into it may be anything. */
function pattern(name: string): string {
  return name
    .split(/%[sdifjo]|\$\{?\w+\}?/)
    .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*')
}

/** Plants one fault, runs its test and takes the fault out again. */
export async function tryMutation(copy: Copy, mutation: Mutation): Promise<{ outcome: Outcome; detail: string }> {
  const path = join(copy.folder, mutation.file)
  const source = await readFile(path, 'utf8')
  if (occurrences(source, mutation.text) !== 1) return { outcome: 'misfit', detail: `stands ${occurrences(source, mutation.text)} times` }
  try {
    await writeFile(path, source.split(mutation.text).join(mutation.replacement))
    if (mutation.build === true) await build(copy)
    const { ran, output } = await runTests(copy, [mutation.test])
    if (ran.length === 0) return { outcome: 'broken', detail: output }
    const red = ran.find(({ status }) => status === 'failed')
    return red === undefined ? { outcome: 'survived', detail: '' } : { outcome: 'caught', detail: red.failureMessages[0] ?? '' }
  } catch (error) {
    return { outcome: 'broken', detail: error instanceof Error ? error.message : String(error) }
  } finally {
    await writeFile(path, source)
  }
}
