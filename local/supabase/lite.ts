import { App } from '@supabase/lite'
import { createPostgresConnection } from '@supabase/lite/postgres'
import { applyGrants } from '#local/database'

/** What lite is told: the database, the keys of the stack and where its site is. */
export interface LiteSettings {
  databaseUrl: string
  publishableKey: string
  secretKey: string
  jwtSecret: string
  siteUrl: string
  /** Connections to Postgres. */
  poolSize: number
}

/** Text stays text: the driver would encode a json argument a second time (lite 0.10 has encoded it already). */
const asText = (value: unknown): unknown => (typeof value === 'string' ? value : JSON.stringify(value))

function createApp(settings: LiteSettings): App {
  const json = { parse: (text: string): unknown => JSON.parse(text), serialize: asText }
  const connection = createPostgresConnection({
    url: settings.databaseUrl,
    postgresOptions: {
      max: settings.poolSize,
      onnotice: () => undefined,
      types: { json: { to: 114, from: [114], ...json }, jsonb: { to: 3802, from: [3802], ...json } },
    },
  })
  return new App({
    connection,
    api: { schemas: ['public'], max_rows: 1000 },
    auth: {
      enabled: true,
      jwt_secret: settings.jwtSecret,
      publishable_key: settings.publishableKey,
      secret_key: settings.secretKey,
      site_url: settings.siteUrl,
      jwt_expiry: 3600,
      enable_signup: true,
      email: { enable_signup: true, enable_confirmations: false },
    },
    options: { server: { admin: false } },
  })
}

/**
 * Supabase lite, ready for anybody's request: it has had one of ours, for the first ones race in it, and its start-up gives anon ALL rights,
 * which our grants have taken back. Throws when Postgres does not answer.
 */
export async function startLite(settings: LiteSettings): Promise<App> {
  const app = createApp(settings)
  await app.init()
  await app.ensureSystemSchema()
  await app.connection.withContext({ auth: { role: 'service_role' } }, async () => undefined) // gives its grants now, once
  const headers = { apikey: settings.secretKey, authorization: `Bearer ${settings.secretKey}` }
  await (await app.fetch(new Request('http://127.0.0.1/rest/v1/', { headers }))).text() // its status does not matter
  await applyGrants(settings.databaseUrl)
  return app
}
