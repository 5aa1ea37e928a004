import { spawn } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const sources = [
  'app',
  'inngest',
  'instrumentation.ts',
  'lib',
  'local',
  'next.config.ts',
  'package-lock.json',
  'package.json',
  'proxy.ts',
  'supabase/migrations',
  'tsconfig.json',
]
const longestMs = 300_000

function newest(path: string): number {
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(0, ...readdirSync(path).map((name) => newest(join(path, name))))
}

/** True when `.next` holds a production build that is younger than every source of it. */
export function isBuilt(): boolean {
  const mark = join(root, '.next', 'BUILD_ID')
  return existsSync(mark) && statSync(mark).mtimeMs > Math.max(...sources.map((source) => newest(join(root, source))))
}

/** Makes the production build where it is missing or old. Throws with the end of its output when it fails. */
export async function ensureBuild(log: (line: string) => void): Promise<void> {
  if (isBuilt()) return
  log('building the server (once, about 10 to 30 s)')
  const output: string[] = []
  const child = spawn(process.execPath, [join(root, 'node_modules', 'next', 'dist', 'bin', 'next'), 'build'], {
    cwd: root,
    env: { ...process.env, NODE_ENV: 'production', NEXT_TELEMETRY_DISABLED: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: longestMs,
  })
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => output.push(chunk.toString()))
  const code = await new Promise((resolve) => child.once('close', resolve))
  if (code !== 0) throw new Error(`next build failed (${String(code)}):\n${output.join('').slice(-4_000)}`)
}
