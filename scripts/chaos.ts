import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { storm } from '#scripts/chaos/storm'
import { stormText } from '#scripts/chaos/storm-report'

const usage = `Usage: npm run chaos -- [options]     (needs npm run build)
  --seconds N    how long faults come (default 120); every kind comes at least once
  --seed N       plan and messages follow from it (default: from the clock)
  --every N      milliseconds between two faults, on average (default 3000)
  --servers N    server processes (default 2)
  --callers N    callers at a time (default 8)
  --agents N     agents they talk to (default 12)`

function whole(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  if (/^\d{1,9}$/.test(text) && Number(text) > 0) return Number(text)
  throw new Error(`--${name} must be a whole number from 1 to 999999999, not "${text}".\n${usage}`)
}

async function main(): Promise<number> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: {
      seconds: text,
      seed: text,
      every: text,
      servers: text,
      callers: text,
      agents: text,
      help: { type: 'boolean', default: false },
    },
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
    seed,
    lengthMs: whole('seconds', values.seconds, 120) * 1_000,
    everyMs: whole('every', values.every, 3_000),
    servers: whole('servers', values.servers, 2),
    callers: whole('callers', values.callers, 8),
    agents: whole('agents', values.agents, 12),
    log: (line) => console.log(line),
  })
  console.log(stormText(report))
  return report.violations.length + report.wrongEnds.length === 0 ? 0 : 1
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(error instanceof Error ? (error.stack ?? error.message) : String(error))
  return 1
})
