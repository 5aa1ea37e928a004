import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { App } from '@supabase/lite'
import { createPostgresConnection } from '@supabase/lite/postgres'
import { applyGrants } from '#local/database'
import { BodyTooLarge, answerJson, readBody, sendWebResponse, toWebRequest } from '#local/parts/http'
import { endWithSupervisor, listen, onMessage, required } from '#local/parts/part'
import { livePostmaster, stopPostmaster } from '#local/postgres/orphan'
import { waitForPostgres } from '#local/postgres'
import { createRpc, hasOnlyP, serviceCall } from '#local/supabase/rpc'

/** Largest body taken, in bytes: far above the largest commit (messages are 256 KB at most). */
const bodyLimit = 32 * 1024 * 1024

/** Connections to Postgres, each of the two: lite's, and those of Baton's own functions. */
const poolSize = 12

interface Settings {
  databaseUrl: string
  publishableKey: string
  secretKey: string
  jwtSecret: string
  siteUrl: string
}

/** Text stays text: the driver would encode a json argument a second time (lite 0.10 has encoded it already). */
const asText = (value: unknown): unknown => (typeof value === 'string' ? value : JSON.stringify(value))

function createApp(settings: Settings): App {
  const json = { parse: (text: string): unknown => JSON.parse(text), serialize: asText }
  const connection = createPostgresConnection({
    url: settings.databaseUrl,
    postgresOptions: {
      max: poolSize,
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
 * One request before anybody else's: the first ones race in lite, and its start-up gives anon ALL rights, which our
 * grants take back before the port opens.
 */
async function warmUp(app: App, settings: Settings): Promise<void> {
  await app.init()
  await app.ensureSystemSchema()
  await app.connection.withContext({ auth: { role: 'service_role' } }, async () => undefined) // gives its grants now, once
  const headers = { apikey: settings.secretKey, authorization: `Bearer ${settings.secretKey}` }
  await (await app.fetch(new Request('http://127.0.0.1/rest/v1/', { headers }))).text() // its status does not matter
  await applyGrants(settings.databaseUrl)
}

interface Gateway {
  app: App
  rpc: ReturnType<typeof createRpc>
  secretKey: string
}

async function handle({ app, rpc, secretKey }: Gateway, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    if (request.url === '/health') return answerJson(response, 200, { status: 'ok' })
    const name = serviceCall(request, secretKey)
    const body = request.method === 'GET' || request.method === 'HEAD' ? undefined : await readBody(request, bodyLimit)
    if (name !== undefined && body !== undefined) {
      const text = body.toString()
      if (hasOnlyP(text)) {
        const answer = await rpc.call({ name, body: text })
        response.writeHead(answer.status, {
          'content-type': 'application/json; charset=utf-8',
          'content-length': Buffer.byteLength(answer.body),
        })
        response.end(answer.body)
        return
      }
    }
    const web = toWebRequest(request, body)
    await sendWebResponse(await app.fetch(web, { peerAddress: request.socket.remoteAddress ?? null }), response)
  } catch (error) {
    if (!(error instanceof BodyTooLarge)) console.error(error)
    if (response.headersSent) response.destroy()
    else
      answerJson(response, error instanceof BodyTooLarge ? 413 : 500, {
        code: 'PGRST000',
        message: String(error),
        details: null,
        hint: null,
      })
  }
}

/**
 * Waits for a step of the start, and ends the process when it takes too long, for then it is started again: what is asked of a PostgreSQL
 * that ends meanwhile may never be answered, and a message may be lost. Seen once, and the whole stack stood.
 */
async function within(ms: number, what: string, step: Promise<void>): Promise<void> {
  const late = setTimeout(() => {
    console.error(`The gateway has waited ${ms / 1_000} s until ${what}: it ends, and is started again.`)
    process.exit(1)
  }, ms)
  await step
  clearTimeout(late)
}

async function main(): Promise<void> {
  const port = Number(required('SUPABASE_PORT'))
  const settings: Settings = {
    databaseUrl: required('SUPABASE_DATABASE_URL'),
    publishableKey: required('SUPABASE_PUBLISHABLE_KEY'),
    secretKey: required('SUPABASE_SECRET_KEY'),
    jwtSecret: required('SUPABASE_JWT_SECRET'),
    siteUrl: required('SUPABASE_SITE_URL'),
  }
  const clusterFolder = process.env['SUPABASE_CLUSTER_FOLDER']
  let postmaster: number | undefined
  // this part goes last: when the supervisor was killed it also ends the postmaster, which watches nobody
  endWithSupervisor(async () => {
    if (clusterFolder !== undefined && postmaster !== undefined && livePostmaster(clusterFolder) === postmaster)
      await stopPostmaster(postmaster)
  })
  const prepared = Promise.withResolvers<void>()
  onMessage((message) => {
    postmaster = message.postmaster
    prepared.resolve()
  })
  if (process.send !== undefined) await within(120_000, 'the supervisor says that the database is prepared', prepared.promise)
  await waitForPostgres(settings.databaseUrl)
  const app = createApp(settings)
  await within(20_000, 'PostgreSQL answers its first questions', warmUp(app, settings))
  const gateway: Gateway = { app, rpc: createRpc(settings.databaseUrl, poolSize), secretKey: settings.secretKey }
  const server = createServer((request, response) => void handle(gateway, request, response))
  server.keepAliveTimeout = 60_000
  await listen(server, port)
}

await main()
