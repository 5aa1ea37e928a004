import type { Store } from '#lib/core/pages'
import type { Authority } from '#lib/core/store'
import { createRedactor, type Redact } from '#lib/core/redact'
import { operatorConfig, secretValues, type OperatorConfig } from '#lib/env'
import { supabaseRpc } from '#lib/store/rpc'
import { createStore } from '#lib/store/store'
import { systemClock } from '#lib/system/clock'
import { operatorEnvironment } from '#scripts/operator/environment'

/** The store of a deployment as its operator reaches it: with the secret key of the database, and so with all rights. */
export interface Operator {
  config: OperatorConfig
  /** For what leaves the deployment: hides what looks like a secret, and the values of this environment that are. */
  redact: Redact
  store: Store
  authority: Authority
}

/** Opens it for a command that is named in the audit; `tenant` is another than the deployment's own. */
export async function openOperator(command: string, { tenant, local }: { tenant?: string; local?: string }): Promise<Operator> {
  const variables = await operatorEnvironment(local)
  const config = operatorConfig(variables)
  const store = createStore(supabaseRpc({ ...config.supabase, clock: systemClock() }))
  const { environment, tenantId } = config
  return {
    config,
    redact: createRedactor(secretValues(variables)),
    store,
    authority: { environment, credential: { operator: { tenant: tenant ?? tenantId, name: command } }, requestId: null },
  }
}
