import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { percentile } from '#scripts/chaos/resumes'
import { storm } from '#scripts/chaos/storm'

const usage = `Usage: npm run chaos -- [options]     (needs npm run build)
  --kills N      server processes to kill -9 (default 100)
  --seed N       choices follow from it (default: from the clock)
  --servers N    server processes (default 2)
  --callers N    callers at a time (default 8)
  --agents N     agents they talk to (default 12)`

function whole(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  if (/^\d{1,9}$/.test(text) && Number(text) > 0) return Number(text)
  throw new Error(`--${name} must be a whole number above 0, not "${text}".\n${usage}`)
}

async function main(): Promise<number> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: { kills: text, seed: text, servers: text, callers: text, agents: text, help: { type: 'boolean', default: false } },
  })
  if (values.help) {
    console.log(usage)
    return 0
  }
  if (!existsSync(join(import.meta.dirname, '..', '.next', 'BUILD_ID')))
    throw new Error('There is no production build. Run `npm run build` first.')
  const seed = whole('seed', values.seed, (Date.now() % 1_000_000) + 1)
  console.log(`seed ${seed}`)
  const report = await storm({
    kills: whole('kills', values.kills, 100),
    seed,
    servers: whole('servers', values.servers, 2),
    callers: whole('callers', values.callers, 8),
    agents: whole('agents', values.agents, 12),
    log: (line) => console.log(line),
  })
  const seconds = (p: number): string => percentile(report.resumeSeconds, p)?.toFixed(1) ?? '-'
  console.log(`kills ${report.kills}, messages ${report.messages}, ${report.elapsedSeconds.toFixed(0)} s`)
  console.log(
    `runs: ${Object.entries(report.ends)
      .map(([how, n]) => `${how} ${n}`)
      .join(', ')}`,
  )
  console.log(`take-overs ${report.takeOvers}; once effects ${report.onceEffects}, sealed ${report.sealed}`)
  console.log(
    `seconds from kill -9 to going on: p50 ${seconds(0.5)}, p90 ${seconds(0.9)}, p99 ${seconds(0.99)}, max ${seconds(1)} (${report.resumeSeconds.length} measured)`,
  )
  console.log(`violations: ${report.violations.length}`)
  for (const violation of report.violations.slice(0, 50)) console.log(`  ${violation}`)
  return report.violations.length === 0 ? 0 : 1
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error))
  return 1
})
