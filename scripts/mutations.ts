import { parseArgs } from 'node:util'
import { mutations } from '#scripts/mutations/list'
import { build, copyTree, needsServer, pretendBuild, runTests, tryMutation, type Copy, type Outcome } from '#scripts/mutations/plant'
import type { Mutation } from '#scripts/mutations/mutation'

const words: Record<Outcome, string> = { caught: 'caught', survived: 'SURVIVED', misfit: 'NO LONGER APPLIES', broken: 'DID NOT RUN' }

/** The named tests must be green before anything is planted; else red would say nothing. */
async function mustBeGreen(copy: Copy, chosen: readonly Mutation[]): Promise<void> {
  const { ran, output } = await runTests(
    copy,
    chosen.map(({ test }) => test),
  )
  const red = ran.filter(({ status }) => status === 'failed').map(({ title }) => title)
  if (red.length > 0) throw new Error(`red without any fault:\n${red.join('\n')}`)
  if (ran.length === 0) throw new Error(`no test ran:\n${output}`)
}

/** The assertion that turned red, short enough for a table: it tells a fault that was seen from one that merely broke something. */
function oneLine(message: string): string {
  const [line = ''] = message.split('\n')
  return line.replaceAll('|', '/').slice(0, 120)
}

/**
 * `npm run mutations [-- --only name]`: plants each fault of the list by itself in a copy of the tree, runs the test that must see it,
 * and prints what became of it. Exit 1 when one survives or its text no longer fits.
 */
async function main(): Promise<boolean> {
  const { values } = parseArgs({ options: { only: { type: 'string', multiple: true } } })
  const chosen = values.only === undefined ? mutations : mutations.filter(({ name }) => values.only?.includes(name))
  if (chosen.length === 0) throw new Error(`no such fault; there are: ${mutations.map(({ name }) => name).join(', ')}`)
  const copy = await copyTree()
  try {
    const servers = await Promise.all(chosen.map(({ test }) => needsServer(test.file)))
    console.log(`running ${new Set(chosen.map(({ test }) => test.name)).size} tests without a fault`)
    await (servers.includes(true) ? build(copy) : pretendBuild(copy))
    await mustBeGreen(copy, chosen)
    const faults: string[] = []
    for (const mutation of chosen) {
      const from = performance.now()
      const { outcome, detail } = await tryMutation(copy, mutation)
      const seconds = ((performance.now() - from) / 1_000).toFixed(0)
      const shown = outcome === 'caught' ? oneLine(detail) : ''
      console.log(`| ${mutation.name} | ${mutation.breaks} | ${words[outcome]} | ${seconds} s | ${mutation.test.file} | ${shown} |`)
      if (outcome !== 'caught') faults.push(`${mutation.name}: ${words[outcome]}${detail === '' ? '' : `: ${detail}`}`)
    }
    console.log(`${chosen.length - faults.length} of ${chosen.length} caught`)
    for (const line of faults) console.log(line)
    return faults.length === 0
  } finally {
    await copy.remove()
  }
}

process.exitCode = (await main()) ? 0 : 1
