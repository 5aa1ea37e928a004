import { parseArgs } from 'node:util'
import { explainFinding } from '#lib/core/consistency'
import type { Finding } from '#lib/core/operations'
import { openOperator, type Operator } from '#scripts/operator/store'

const usage = `Usage: npm run fsck -- AGENT [--repair] [--tenant ID]
       npm run fsck -- --all [--repair] [--tenant ID]
  Looks whether the rows of one agent, or of all agents and budgets of the environment, fit together, and says what does not.
  --repair     mends what is found; nothing is thrown away, each repair is in the audit (docs/runbook.md)
  --tenant ID  agents of this tenant; with --all the default is every tenant of the environment
  --local DIR  the local stack that runs with this data folder
  Exit code 0: all is well, or all was mended. 1: something is left. 2: the command failed.`

function tell(agent: string, findings: readonly Finding[], mark: string): void {
  for (const { code, runId, details } of findings) {
    const { means, repair } = explainFinding(code)
    console.log(
      `${mark} ${agent}  ${code}${runId === undefined ? '' : ` ${runId}`}  ${JSON.stringify(details)}\n    ${means}${mark === '-' ? ` Repair: ${repair}` : ''}`,
    )
  }
}

async function one({ store, authority }: Operator, agent: string, repair: boolean): Promise<boolean> {
  const answer = repair ? await store.repairAgent(authority, agent) : await store.consistency(authority, agent)
  if (!answer.ok)
    throw new Error(`${agent}: ${answer.code}${answer.code === 'agent_busy' ? ' (it is at work: interrupt it, or wait)' : ''}`)
  if ('left' in answer) {
    tell(agent, answer.repaired, '+')
    tell(agent, answer.left, '-')
    if (answer.findings.length === 0) console.log(`${agent}: all is well`)
    return answer.left.length === 0
  }
  tell(agent, answer.findings, '-')
  if (answer.findings.length === 0) console.log(`${agent}: all is well`)
  return answer.findings.length === 0
}

async function all({ store, config }: Operator, repair: boolean, tenant: string | undefined): Promise<boolean> {
  const { environment } = config
  let after: string | null = null
  let checked = 0
  let left = 0
  let found = 0
  do {
    const page = await store.fsck({ environment, after, repair, ...(tenant === undefined ? {} : { tenant }) })
    checked += page.checked
    for (const agent of page.data) {
      const remaining = agent.left ?? agent.findings
      const name = `${agent.tenant}/${agent.agentId}`
      tell(name, agent.repaired ?? [], '+')
      tell(name, remaining, '-')
      if (agent.busy === true) console.log(`    ${name} is at work and was left as it is.`)
      found += agent.findings.length
      left += remaining.length
    }
    tell('budgets', page.budgets, repair ? '+' : '-')
    found += page.budgets.length
    if (!repair) left += page.budgets.length
    after = page.next
  } while (after !== null)
  console.log(`${checked} agents of ${environment} checked: ${found} findings${repair ? `, ${left} left` : ''}`)
  return left === 0
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      all: { type: 'boolean', default: false },
      repair: { type: 'boolean', default: false },
      tenant: { type: 'string' },
      local: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  const [agent, ...more] = positionals
  if (values.help) return console.log(usage)
  if (values.all === (agent !== undefined) || more.length > 0) throw new TypeError('Name one agent, or say --all.')
  const { tenant, local } = values
  const operator = await openOperator('fsck', { ...(tenant === undefined ? {} : { tenant }), ...(local === undefined ? {} : { local }) })
  const well = agent === undefined ? await all(operator, values.repair, tenant) : await one(operator, agent, values.repair)
  process.exitCode = well ? 0 : 1
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error))
  if (error instanceof TypeError) console.error(usage)
  process.exitCode = 2
})
