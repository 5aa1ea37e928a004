import pg from 'pg'
import type { Config } from '#lib/core/config'
import { BatonError, reasonOf } from '#lib/core/errors'
import type { DoctorFacts } from '#lib/core/operations'
import type { Store } from '#lib/core/pages'
import { openSecret } from '#lib/webhooks/seal'
import { TlsRefused } from '#supabase/connection'
import { migrate, readMigrations } from '#supabase/migrate'
import { lineOf, teller, type Finding } from '#scripts/doctor/finding'

const { ok, warn, fail } = teller('postgres')
const minuteMs = 60_000

/** Reaches the database as the server does: over the REST API with the secret key; writes a row, and looks at migrations and rights. */
export async function checkPostgres(store: Store, config: Config): Promise<{ findings: Finding[]; facts: DoctorFacts | null }> {
  let facts: DoctorFacts
  try {
    facts = await store.doctor({ environment: config.environment, ask: `written-${Date.now()}` })
  } catch (error) {
    return { findings: [await unreachable(store, config, error)], facts: null }
  }
  const findings = [ok(`PostgreSQL ${facts.version.split(' ')[0]} answers at ${config.supabase.url} and a row was written`)]
  const missing: string[] = []
  for (const { name, checksum } of await readMigrations()) if (facts.migrations[name] !== checksum) missing.push(name)
  findings.push(
    missing.length === 0
      ? ok(`all ${Object.keys(facts.migrations).length} migrations are applied`)
      : fail(
          `not applied, or changed since: ${missing.join(', ')}`,
          'Run npm run migrate with DATABASE_URL set, before the deployment of this code.',
        ),
  )
  if (facts.openTables.length > 0)
    findings.push(
      fail(`tables without row level security: ${facts.openTables.join(', ')}`, 'Run in the SQL editor: select baton.apply_grants();'),
    )
  if (facts.openFunctions.length > 0)
    findings.push(
      fail(
        `callers without the secret key may execute: ${facts.openFunctions.slice(0, 5).join(', ')}${facts.openFunctions.length > 5 ? `, and ${facts.openFunctions.length - 5} more` : ''}`,
        'Run in the SQL editor: select baton.apply_grants(); or npm run migrate.',
      ),
    )
  if (facts.openTables.length + facts.openFunctions.length === 0) findings.push(ok('nobody but the secret key may call or write'))
  findings.push(...whatIsStopped(facts))
  findings.push(...(await tenantFindings(store, config, facts)))
  if (facts.oldestDueMs !== null && facts.oldestDueMs > 10 * minuteMs)
    findings.push(
      warn(
        `a run has been due for ${Math.round(facts.oldestDueMs / minuteMs)} minutes`,
        'Look at the findings of inngest below, then npm run fsck -- --all --repair.',
      ),
    )
  return { findings, facts }
}

/** Why the first call failed: the project's address, its key, or a database without Baton's functions. */
async function unreachable(store: Store, config: Config, error: unknown): Promise<Finding> {
  const says = reasonOf(error)
  if (/PGRST202|42883|Could not find the function/.test(says)) {
    const older = await store.hasKeys(config.environment).then(
      () => true,
      () => false,
    )
    return older
      ? fail(
          'the migrations of this release are not applied',
          'Run npm run migrate with DATABASE_URL set, before the deployment of this code.',
        )
      : fail(
          'the database has no functions of Baton: no migration is applied',
          'Run npm run migrate with DATABASE_URL set; in Supabase the schema public must be exposed (API settings).',
        )
  }
  if (/401|JWT|Invalid API key|PGRST301|PGRST302|Unauthorized/i.test(says))
    return fail(
      `Supabase refuses the secret key: ${says}`,
      'Copy the secret key (sb_secret_... or service_role) of this very project into SUPABASE_SECRET_KEY.',
    )
  if (/403|42501|permission denied/i.test(says))
    return fail(
      `the key may not call Baton's functions: ${says}`,
      'Use the secret key, not the publishable one; then run in the SQL editor: select baton.apply_grants();',
    )
  if (/read-only transaction/.test(says))
    return fail(
      `the database takes no writes: ${says}`,
      'Look at its disk: Supabase makes a project with a full one read-only. Enlarge it, or delete agents and wait for vacuum (docs/runbook.md).',
    )
  // Its gateway answers although the database behind it does not.
  if (/: 5\d\d /.test(says))
    return fail(
      `Supabase answers at ${config.supabase.url} and its database does not: ${says}`,
      "Look at the project in the Supabase dashboard: paused, restarting, out of disk or connections; and at Supabase's status.",
    )
  return fail(
    `the database is not reachable at ${config.supabase.url}: ${says}`,
    'Check SUPABASE_URL, and whether the project is paused in the Supabase dashboard.',
  )
}

/** What somebody has stopped on purpose, and perhaps forgotten. */
function whatIsStopped({ switches, disabledEndpoints }: DoctorFacts): Finding[] {
  const findings = switches.map(({ scope, tenant, mode }) =>
    warn(
      `a ${mode} of scope ${scope}${tenant === '' ? '' : ` stands for ${tenant}`}: ${mode === 'kill' ? 'new messages are 423' : 'runs wait'}`,
      `GET /api/kill says who set it and why; DELETE /api/kill/${scope} lifts it.`,
    ),
  )
  if (disabledEndpoints > 0)
    findings.push(
      warn(
        `${disabledEndpoints} webhook endpoints are disabled`,
        'GET /api/webhooks says why; PATCH /api/webhooks/{id} with {"enabled": true}.',
      ),
    )
  return findings
}

async function tenantFindings(store: Store, config: Config, facts: DoctorFacts): Promise<Finding[]> {
  const answer = await store.getTenant({ tenant: config.tenantId, environment: config.environment })
  if (!answer.ok) {
    if (config.local) return [ok(`the tenant ${config.tenantId} is made with the first message`)]
    return [
      fail(
        `the tenant ${config.tenantId} does not exist in ${config.environment}`,
        'Run npm run bootstrap; give each environment a BATON_TENANT of its own.',
      ),
    ]
  }
  const findings = [ok(`tenant ${config.tenantId}, ${facts.keys} active API keys`)]
  if (config.access.required && facts.keys === 0 && config.access.adminKey === null && !config.access.users.enabled)
    findings.push(fail('nobody can call: no API key, no admin key, no users', 'Run npm run bootstrap -- --new-key.'))
  try {
    if (answer.secret !== null) openSecret(answer.secret, config.encryptionKey)
  } catch (error) {
    if (!(error instanceof BatonError)) throw error
    findings.push(
      fail(
        'BATON_ENCRYPTION_KEY is not the one that the stored secrets were sealed with',
        'Put the former key back: without it webhook secrets are lost and must be set again.',
      ),
    )
  }
  return findings
}

/** The direct connection, which only migrations use: reachable, the right password, nothing to apply. */
export async function checkDirect(databaseUrl: string | undefined): Promise<Finding[]> {
  if (databaseUrl === undefined)
    return [
      warn(
        'DATABASE_URL is not set: migrations cannot be applied from here',
        'Set it to the direct connection (port 5432) where npm run migrate runs.',
      ),
    ]
  const findings: Finding[] = []
  if (URL.canParse(databaseUrl) && new URL(databaseUrl).port === '6543')
    findings.push(
      warn('DATABASE_URL is the transaction pooler (port 6543)', 'Use the direct connection or the session pooler (5432) for migrations.'),
    )
  try {
    const { applied } = await migrate({ databaseUrl, dryRun: true })
    findings.push(
      applied.length === 0
        ? ok('the direct connection works and nothing is to apply')
        : fail(`${applied.length} migrations are to apply`, 'Run npm run migrate.'),
    )
  } catch (error) {
    findings.push(refusedConnection(error))
  }
  return findings
}

function refusedConnection(error: unknown): Finding {
  if (error instanceof TlsRefused) return fail(`DATABASE_URL: ${error.says} (${lineOf(error.cause)})`, error.cure)
  const says = lineOf(error)
  if (error instanceof pg.DatabaseError && error.code === '28P01')
    return fail(
      `the password of DATABASE_URL is wrong: ${says}`,
      'Copy it from Supabase, Settings, Database (reset it there if it is lost); encode special characters.',
    )
  if (error instanceof pg.DatabaseError && error.code === '3D000')
    return fail(`the database of DATABASE_URL does not exist: ${says}`, 'End the URL with /postgres.')
  if (/ENETUNREACH|EHOSTUNREACH|ENOTFOUND/.test(says))
    return fail(
      `DATABASE_URL cannot be reached: ${says}`,
      "Supabase's direct host is IPv6 only: use the session pooler (port 5432) from an IPv4 network.",
    )
  return fail(`DATABASE_URL does not answer: ${says}`, 'Check host and port, and whether the project is paused.')
}
