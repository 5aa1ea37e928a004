import { parseArgs } from 'node:util'
import { makeKey } from '#lib/access/keys'
import { bootstrapConfig } from '#lib/env'
import { supabaseRpc } from '#lib/store/rpc'
import { createStore } from '#lib/store/store'
import { systemClock } from '#lib/system/clock'
import { systemIds } from '#lib/system/ids'
import { sealSecret } from '#lib/webhooks/seal'
import { makeWebhookSecret } from '#lib/webhooks/secret'
import { loadLocalVariables } from '#scripts/operator/environment'

const usage = `Usage: npm run bootstrap [-- --new-key] [-- --new-webhook-secret]
  Makes the first tenant, its first admin key and its webhook secret, and prints both once. What exists stays as it is.
  --new-key              makes another admin key where one exists
  --new-webhook-secret   signs with another secret from now on: the old one is lost, has leaked, or was sealed with another BATON_ENCRYPTION_KEY

  Reads SUPABASE_URL, SUPABASE_SECRET_KEY, BATON_ENCRYPTION_KEY, BATON_ENV and BATON_TENANT, also from .env.local.`

async function main(): Promise<void> {
  const flag = { type: 'boolean', default: false } as const
  const { values } = parseArgs({ options: { 'new-key': flag, 'new-webhook-secret': flag, help: flag } })
  if (values.help) return console.log(usage)
  loadLocalVariables()
  const { environment, tenantId, supabase, encryptionKey } = bootstrapConfig()
  const store = createStore(supabaseRpc({ ...supabase, clock: systemClock() }))
  const { text, stored } = makeKey(systemIds().make('key'))
  const secret = makeWebhookSecret()
  const answer = await store.bootstrap({
    tenant: tenantId,
    environment,
    secret: sealSecret(secret, encryptionKey),
    key: { ...stored, name: 'bootstrap' },
    anew: values['new-key'],
    newSecret: values['new-webhook-secret'],
  })
  if (!answer.ok) {
    throw new Error(
      `The tenant ${tenantId} belongs to the environment ${String(answer['environment'])}, not to ${environment}. Give this environment a tenant of its own: set BATON_TENANT.`,
    )
  }
  const { tenantMade, secretMade, keyMade, adminKeys } = answer
  console.log(`environment     ${environment}`)
  console.log(`tenant          ${tenantId}${tenantMade ? '' : '  (existed)'}`)
  if (keyMade) console.log(`admin key       ${text}`)
  else console.log(`admin key       ${adminKeys} active, not shown again; --new-key makes another one`)
  if (secretMade) console.log(`webhook secret  ${secret}`)
  else console.log('webhook secret  as it was, not shown again; --new-webhook-secret makes another one')
  if (keyMade || secretMade) console.log('\nKeep what is shown: it is stored as a hash, or sealed, and never shown again.')
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error))
  if (error instanceof TypeError) console.error(usage)
  process.exitCode = 1
})
