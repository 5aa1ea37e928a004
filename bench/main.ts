import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, loadavg, release, totalmem, type as systemType } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { portClaims } from '#local/ports'
import { coldImports, stackStart } from '#bench/cold'
import { compare, contenders, sizes } from '#bench/compare'
import { countTurns } from '#bench/counts'
import { timeDistances } from '#bench/distance'
import { buildFloor, startFloor } from '#bench/floor'
import { reportOf } from '#bench/report'
import type { Results } from '#bench/results'
import { toolTurn } from '#bench/scripts'
import { handOffGap, memoryPerSlice } from '#bench/slices'
import { startStand } from '#bench/stand'
import { timeHistories, timeRequests } from '#bench/times'
import { fanOut } from '#bench/watchers'

/*
 * `npm run bench`: Baton against the floor, printed. `npm run bench -- --peers`: with LangGraph, Mastra and a JSONB store beside it, on the same Postgres; writes
 * docs/benchmarks.md, its plots and docs/benchmarks.json. `--quick`: a few rounds of each, to try the script. `--render`: only writes the documents again from the json.
 */
const { values } = parseArgs({
  options: {
    peers: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    render: { type: 'boolean', default: false },
  },
})

const root = join(import.meta.dirname, '..')
const peersFolder = join(import.meta.dirname, 'peers')
const kept = join(root, 'docs/benchmarks.json')
const began = performance.now()
const say = (line: string): void => console.log(`${((performance.now() - began) / 1_000).toFixed(0).padStart(4)} s  ${line}`)

function run(command: string, args: string[], cwd: string): void {
  const { status, error } = spawnSync(command, args, { cwd, stdio: 'inherit', timeout: 5 * 60_000 })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${error?.message ?? status}`)
}

/** Installs the peers from their own lockfile where they are not, or not those. */
function installPeers(): void {
  const installed = join(peersFolder, 'node_modules/.package-lock.json')
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(peersFolder, 'package-lock.json')).mtimeMs) return
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], peersFolder)
}

function versionsOfPeers(): Record<string, string> {
  const { dependencies } = JSON.parse(readFileSync(join(peersFolder, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
  return dependencies
}

function machine(postgres: string): Results['machine'] {
  const all = cpus()
  return {
    processor: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${systemType()} ${release()}`,
    node: process.version,
    postgres,
    busy: loadavg()[0] ?? Number.NaN,
  }
}

async function measure(): Promise<Results> {
  const few = values.quick
  const before = machine('')
  // A build that is older than the code would be measured for it.
  if (!few || !existsSync(join(root, '.next/BUILD_ID')))
    run(process.execPath, [createRequire(import.meta.url).resolve('next/dist/bin/next'), 'build'], root)
  buildFloor()
  if (values.peers) installPeers()
  say('built; counting trips, bytes and WAL')
  const counts = await countTurns(few ? 3 : 9)
  say('cold imports')
  const imports = coldImports(few ? 1 : 9)
  say('cold start of the stack')
  const stack = await stackStart()
  say('turns over roads that take time')
  const distances = await timeDistances(few ? 1 : 6)

  const stand = await startStand({ counted: false })
  const claims = portClaims()
  const floor = await startFloor(stand.stack.info, await claims.take(0))
  try {
    const { rows } = await stand.wal.pool.query<{ version: string }>(`select current_setting('server_version') as version`)
    say('requests by 1, 16 and 64 callers')
    const times = await timeRequests(stand, floor, few ? 1 : 5)
    say('turns by length of history')
    const histories = await timeHistories(stand, few ? 3 : 25)
    let peers: Results['peers'] = null
    if (values.peers) {
      say('peers')
      for (const size of sizes) await stand.withHistory(`guest-${size}`, size)
      const { compared, guest } = await compare(String(stand.stack.info.databaseUrl), {
        ids: contenders.map(({ id }) => id),
        rounds: few ? 2 : 14,
        colds: few ? 1 : 3,
        postgres: stand.stack.info.pids.postgres,
        guest: { turn: async (size) => stand.send(`guest-${size}`, toolTurn) },
        say,
      })
      peers = { compared, http: guest, versions: versionsOfPeers() }
    }
    say('hand-off')
    const handOff = await handOffGap(stand, few ? 2 : 10)
    say('memory of slices')
    const memory = await memoryPerSlice(stand, few ? 40 : 100)
    say('watchers')
    const watched = await fanOut(stand, few ? 100 : 1_000)
    return {
      quick: few,
      date: new Date().toISOString().slice(0, 10),
      machine: { ...machine(`PostgreSQL ${rows[0]?.version ?? ''}`), busy: before.busy },
      commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim(),
      minutes: (performance.now() - began) / 60_000,
      counts,
      times,
      distances,
      histories,
      handOff,
      fanOut: watched,
      memory,
      imports,
      stack,
      peers,
    }
  } finally {
    await floor.stop()
    claims.release()
    await stand.close()
  }
}

const results = values.render ? (JSON.parse(readFileSync(kept, 'utf8')) as Results) : await measure()
const text = reportOf(results)
console.log(text)
if (results.peers !== null) {
  writeFileSync(kept, `${JSON.stringify(results, null, 1)}\n`)
  writeFileSync(join(root, 'docs/benchmarks.md'), text)
  run(process.execPath, [join(peersFolder, 'plot.ts'), kept, join(root, 'docs')], peersFolder)
}
say('done')
