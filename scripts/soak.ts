import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { soak } from '#scripts/chaos/soak'
import { soakText, soakVerdict } from '#scripts/chaos/soak-report'

const usage = `Usage: npm run soak -- [options]     (needs npm run build)
  --runs N       scripted runs (default 10000)
  --seed N       messages and faults follow from it (default: from the clock)
  --callers N    callers at a time (default 24)
  --round N      runs between two checks; then 49 days pass (default 500)
  --heap N       largest heap of each server, in megabytes (default 192, as documented for 256 MB)
  --report FILE  writes everything that was measured as JSON`

async function main(): Promise<number> {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    options: { runs: text, seed: text, callers: text, round: text, heap: text, report: text, help: { type: 'boolean', default: false } },
  })
  if (values.help) {
    console.log(usage)
    return 0
  }
  const whole = (name: 'runs' | 'seed' | 'callers' | 'round' | 'heap', otherwise: number): number => {
    const given = values[name] ?? String(otherwise)
    if (/^\d{1,9}$/.test(given) && Number(given) > 0) return Number(given)
    throw new Error(`--${name} must be a whole number from 1 to 999999999, not "${given}".\n${usage}`)
  }
  if (!existsSync(join(import.meta.dirname, '..', '.next', 'BUILD_ID')))
    throw new Error('There is no production build. Run `npm run build` first.')
  const seed = whole('seed', (Date.now() % 1_000_000) + 1)
  console.log(`seed ${seed}`)
  const report = await soak({
    runs: whole('runs', 10_000),
    seed,
    servers: 2,
    callers: whole('callers', 24),
    runsPerRound: whole('round', 500),
    agentsPerRound: 25,
    daysPerRound: 49,
    agentDays: 100,
    heapMb: whole('heap', 192),
    log: (line) => console.log(line),
  })
  if (values.report !== undefined) await writeFile(values.report, JSON.stringify({ seed, ...report }, null, 1))
  console.log(soakText(report))
  const faults = soakVerdict(report)
  for (const fault of faults.slice(0, 50)) console.log(`  ${fault}`)
  console.log(faults.length === 0 ? 'passed' : `${faults.length} faults`)
  return faults.length === 0 ? 0 : 1
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error))
  return 1
})
