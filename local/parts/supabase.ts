import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from '#local/node-http'
import { BodyTooLarge, answerJson, readBody, sendWebResponse, toWebRequest } from '#local/parts/http'
import { endWithSupervisor, listen, onMessage, required } from '#local/parts/part'
import { livePostmaster, stopPostmaster } from '#local/postgres/orphan'
import { waitForPostgres } from '#local/postgres'
import type { LiteSettings, startLite } from '#local/supabase/lite'
import { createRpc, hasOnlyP, serviceCall } from '#local/supabase/rpc'

/** Largest body taken, in bytes: far above the largest commit (messages are 256 KB at most). */
const bodyLimit = 32 * 1024 * 1024

/** Connections to Postgres, each of the two: lite's, and those of Baton's own functions. */
const poolSize = 12

type Lite = Awaited<ReturnType<typeof startLite>>

/**
 * Lite, started by the first request that needs it: its start is the longest of all parts, and Baton's own calls go without it. A start
 * that fails is tried again by the next request.
 */
function liteOnDemand(settings: LiteSettings): () => Promise<Lite> {
  const start = async (): Promise<Lite> => (await import('#local/supabase/lite')).startLite(settings)
  let lite: Promise<Lite> | undefined
  return async () => {
    const starting = (lite ??= within(20_000, 'PostgreSQL answers its first questions', start()))
    starting.catch(() => {
      if (lite === starting) lite = undefined
    })
    return starting
  }
}

interface Gateway {
  lite: () => Promise<Lite>
  rpc: ReturnType<typeof createRpc>
  secretKey: string
}

async function handle({ lite, rpc, secretKey }: Gateway, request: IncomingMessage, response: ServerResponse): Promise<void> {
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
    const app = await lite()
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
async function within<T>(ms: number, what: string, step: Promise<T>): Promise<T> {
  const late = setTimeout(() => {
    console.error(`The gateway has waited ${ms / 1_000} s until ${what}: it ends, and is started again.`)
    process.exit(1)
  }, ms)
  try {
    return await step
  } finally {
    clearTimeout(late)
  }
}

async function main(): Promise<void> {
  const port = Number(required('SUPABASE_PORT'))
  const settings: LiteSettings = {
    databaseUrl: required('SUPABASE_DATABASE_URL'),
    publishableKey: required('SUPABASE_PUBLISHABLE_KEY'),
    secretKey: required('SUPABASE_SECRET_KEY'),
    jwtSecret: required('SUPABASE_JWT_SECRET'),
    siteUrl: required('SUPABASE_SITE_URL'),
    poolSize,
  }
  const clusterFolder = process.env['SUPABASE_CLUSTER_FOLDER']
  // Known from the first moment on: the supervisor may be killed before it has sent anything.
  let postmaster = Number(process.env['SUPABASE_POSTMASTER'])
  // this part goes last: when the supervisor was killed it also ends the postmaster, which watches nobody
  endWithSupervisor(async () => {
    if (clusterFolder !== undefined && livePostmaster(clusterFolder) === postmaster) await stopPostmaster(postmaster)
  })
  const prepared = Promise.withResolvers<void>()
  onMessage((message) => {
    if (message.kind === 'postmaster') postmaster = message.pid
    else prepared.resolve()
  })
  if (process.send !== undefined) await within(120_000, 'the supervisor says that the database is prepared', prepared.promise)
  await waitForPostgres(settings.databaseUrl)
  const gateway: Gateway = { lite: liteOnDemand(settings), rpc: createRpc(settings.databaseUrl, poolSize), secretKey: settings.secretKey }
  const server = createServer((request, response) => void handle(gateway, request, response))
  server.keepAliveTimeout = 60_000
  await listen(server, port)
}

await main()
