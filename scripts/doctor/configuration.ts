import type { Config } from '#lib/core/config'
import { BatonError } from '#lib/core/errors'
import { readConfig, type ConfigProblem, type Environment } from '#lib/env'
import { lineOf, teller, type Finding } from '#scripts/doctor/finding'

const { ok, warn, fail } = teller('configuration')

/** Reads the whole configuration as the server does: each problem is a finding with the cure of its variable. */
export function checkConfiguration(env: Environment): { config: Config | null; findings: Finding[] } {
  try {
    const config = readConfig(env)
    const findings = [ok(`environment ${config.environment}, tenant ${config.tenantId}${config.local ? ', local mode' : ''}`)]
    if (!config.local && config.baseUrl === null)
      findings.push(warn('BATON_BASE_URL is not set', 'Set it to the address that callers use: links and callbacks are made of it.'))
    if (config.redis === null)
      findings.push(
        warn('no Redis: live text of background work arrives step by step', 'Set UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN.'),
      )
    if (!config.cronEnabled)
      findings.push(
        warn(
          'no sweeper and no retention here (BATON_CRON is off)',
          'Right for a preview; set BATON_CRON=1 where this is a deployment of its own.',
        ),
      )
    return { config, findings }
  } catch (error) {
    if (!(error instanceof BatonError) || !Array.isArray(error.details['problems']))
      return { config: null, findings: [fail(lineOf(error), 'See docs/config.md.')] }
    const problems = error.details['problems'] as ConfigProblem[]
    return { config: null, findings: problems.map(({ variable, problem, cure }) => fail(`${variable} ${problem}`, cure)) }
  }
}

/** Node, as package.json asks for it. */
export function checkVersions(node: string = process.versions.node): Finding[] {
  const tell = teller('versions')
  const [major = 0, minor = 0] = node.split('.').map(Number)
  if (major > 22 || (major === 22 && minor >= 18)) return [tell.ok(`Node ${node}`)]
  return [
    tell.fail(
      `Node ${node} is too old`,
      'Use Node 22.18 or newer: on Vercel choose 24.x in Settings, Build and Deployment; here run npm ci, which brings it.',
    ),
  ]
}
