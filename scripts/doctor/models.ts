import { agents } from '#lib/agents/index'
import type { AgentDefinition } from '#lib/core/define'
import type { ProviderFault } from '#lib/core/health'
import { allowedModels } from '#lib/core/presets'
import type { Environment } from '#lib/env'
import { missingKey, priceOf, splitModel } from '#lib/models/registry'
import { providers } from '#lib/providers'
import { ask, lineOf, teller, type Finding } from '#scripts/doctor/finding'

const { ok, warn, fail } = teller('models')

/** For each template the keys of its providers and the prices of its models, also of those that overrides may name; then the way to each provider that has a key, from here. */
export async function checkModels(
  env: Environment,
  local: boolean,
  faults: readonly ProviderFault[],
  templates: readonly AgentDefinition[] = agents,
): Promise<Finding[]> {
  const findings: Finding[] = []
  const used = new Set<string>()
  for (const template of templates) {
    const { id } = template
    for (const name of allowedModels(template)) {
      // The local stack brings it and its price.
      if (local && splitModel(name).provider === 'local') {
        findings.push(ok(`${id}: ${name} is the scripted model of the local stack`))
        continue
      }
      const missing = missingKey(providers, (variable) => env[variable], name)
      const { provider } = splitModel(name)
      if (!Object.hasOwn(providers, provider)) {
        findings.push(fail(`${id}: no provider is registered for ${name}`, 'Register it in lib/providers.ts.'))
      } else if (missing !== null && !local) {
        findings.push(fail(`${id}: ${name} has no key`, `Set ${missing}.`))
      } else if (missing !== null) {
        findings.push(
          warn(`${id}: ${name} has no key and is answered by the scripted model`, `Set ${missing} and start with --real models.`),
        )
      } else {
        findings.push(ok(`${id}: ${name} has a key`))
        used.add(provider)
      }
      if (priceOf(providers, name) === null && (env['BATON_PRICE_CEILING'] ?? '') === '')
        findings.push(
          fail(
            `${id}: ${name} has no price, its calls are refused (price_unknown)`,
            'Add its price to lib/providers.ts, or set BATON_PRICE_CEILING.',
          ),
        )
    }
  }
  if (findings.length === 0) return [warn('no template is registered', 'Add yours to lib/agents/index.ts.')]
  return [...findings, ...(await Promise.all([...used].map((name) => reach(name, env)))).flat(), ...faults.map(failing)]
}

/** Asks the provider for its list of models, which costs nothing. */
async function reach(name: string, env: Environment): Promise<Finding[]> {
  const entry = providers[name]
  const value = (variable: string | undefined) => (variable === undefined || env[variable] === '' ? undefined : env[variable])
  const apiKey = value(entry?.keyVariable)
  const baseUrl = value(entry?.baseUrlVariable)
  const probe = entry?.probe?.({ ...(apiKey && { apiKey }), ...(baseUrl && { baseUrl }) })
  if (entry === undefined || probe === undefined) return []
  const { host } = new URL(probe.url)
  try {
    const { status } = await ask(probe.url, { headers: probe.headers })
    if (status === 401 || status === 403)
      return [fail(`${name} refuses the key (${status} of ${host})`, `Set a valid ${entry.keyVariable} and deploy.`)]
    if (status === 429 || status >= 500)
      return [warn(`${name} answers ${status} at ${host}`, 'Look at its status page; runs try three times, then the fallback models.')]
    return [ok(`${name} is reachable at ${host}${status === 200 ? ' and takes the key' : ''}`)]
  } catch (error) {
    return [
      fail(
        `${name} cannot be reached at ${host}: ${lineOf(error)}`,
        `Look at its status page, then at the way there: ${entry.baseUrlVariable === undefined ? '' : `${entry.baseUrlVariable}, `}DNS, a firewall. Runs try three times, then the fallback models.`,
      ),
    ]
  }
}

/** What the deployment itself has met: it may stand where this command does not. */
function failing({ provider, code, failures, sinceMs }: ProviderFault): Finding {
  return warn(
    `the deployment's last ${failures} calls of ${provider} failed, for ${Math.round(sinceMs / 1_000)} s (${code})`,
    `See ${code} in docs/errors.md; afterwards POST /api/runs/retry with {"filter": {"stopReason": "${code}"}}.`,
  )
}
