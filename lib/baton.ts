import { createAccess } from '#lib/access/access'
import { makeKey } from '#lib/access/keys'
import { agents } from '#lib/agents/index'
import type { Config } from '#lib/core/config'
import { createRedactor } from '#lib/core/redact'
import { deployTemplates } from '#lib/engine/templates'
import { handOverAll } from '#lib/engine/slices'
import { providerEnv, readConfig, secretValues } from '#lib/env'
import { endAllStreams } from '#lib/http/sse'
import { commandTimeoutMs } from '#lib/live/connection'
import { createLive } from '#lib/live/live'
import { createRates } from '#lib/limiter/rates'
import { createModels } from '#lib/models/create-models'
import { priceOf } from '#lib/models/registry'
import { providers } from '#lib/providers'
import { createDispatcher } from '#lib/queue/dispatch'
import { createQueue } from '#lib/queue/queue'
import { supabaseRpc } from '#lib/store/rpc'
import { createStore } from '#lib/store/store'
import { timedRpc } from '#lib/store/timed'
import { systemClock } from '#lib/system/clock'
import { systemIds } from '#lib/system/ids'
import { beforeTheEnd, isEnding } from '#lib/system/shutdown'
import { createLog } from '#lib/telemetry/log'
import { createMetrics } from '#lib/telemetry/metrics'
import { createTelemetry, presentFields } from '#lib/telemetry/telemetry'
import { checkWebhookAddress } from '#lib/webhooks/address'
import { makeWebhookSecret, webhookKey } from '#lib/webhooks/secret'
import { markSecret, sealSecret } from '#lib/webhooks/seal'
import { createAlerts } from '#lib/jobs/alerts'
import { createSweeper } from '#lib/jobs/sweep'
import type { Services } from '#lib/services'

declare global {
  /** On globalThis, because `next dev` reloads modules and Next may hold several copies of this one in a process. */
  var batonServices: Promise<Services> | undefined
}

/** The services of this process, made once. Rejects with BatonError not_configured that names every bad variable. */
export function baton(): Promise<Services> {
  globalThis.batonServices ??= start().catch((error: unknown) => {
    globalThis.batonServices = undefined
    throw error
  })
  return globalThis.batonServices
}

/** A bad configuration rejects, it does not throw at once: callers that answer with a promise have one `catch`. */
async function start(): Promise<Services> {
  return compose(readConfig())
}

async function compose(config: Config): Promise<Services> {
  const clock = systemClock()
  const ids = systemIds()
  const redact = createRedactor(secretValues())
  const log = createLog({
    write: (line, error) => void (error ? process.stderr : process.stdout).write(line),
    redact,
    format: config.log.format,
    fields: presentFields,
  })
  const recorder = config.traces ? async () => (await import('#lib/telemetry/otel')).otelRecorder(log, config.sampling) : null
  const telemetry = createTelemetry({ ids, recorder, log })
  // The local mode is the only one that loads code of local/; production has no hook for it.
  const plugin = config.local
    ? await (await import('#local/plugin')).localPlugin({ config, clock, log, env: providerEnv, providers })
    : null
  const price: Services['price'] = (model) => plugin?.price(model) ?? priceOf(providers, model) ?? config.priceCeiling
  const metrics = createMetrics({
    send: (id, counts) => store.addMetrics({ environment: config.environment, id, counts }),
    everyMs: flushEveryMs / config.haste,
    clock,
    ids,
    log,
  })
  const rpc = timedRpc(supabaseRpc({ ...config.supabase, clock }), metrics, clock)
  const store = createStore(plugin?.rpc(rpc) ?? rpc)
  const alerts = createAlerts({ config, store, clock, ids, log })
  const models = createModels({ providers, env: providerEnv, log })
  const queue = createQueue({ inngest: config.inngest, log })
  const live = createLive({
    redis: config.redis,
    commandTimeoutMs: commandTimeoutMs(config.local),
    clock,
    log,
    processId: ids.make('proc'),
  })

  const { environment } = config
  const rates = createRates({
    redis: config.redis,
    local: config.local,
    clock,
    ids,
    log,
    source: {
      async ofCaller(authority) {
        const answer = await store.limitsOf(authority)
        return answer.ok ? answer : null
      },
      ofTenant: async (tenant) => ({ tenant, caller: null, limits: (await store.tenantLimits({ tenant, environment })).limits }),
    },
    tell: ({ authority, ...refused }) => store.limitRefused(authority, refused),
    metrics,
  })

  const { dispatch, settled } = createDispatcher({ queue, mark: async (ids) => store.outboxSent(ids), log })

  const services: Services = {
    config,
    access: createAccess({
      access: config.access,
      metricsToken: config.metricsToken,
      clock,
      hasKeys: () => store.hasKeys(config.environment),
      supabase: config.supabase,
    }),
    clock,
    ids,
    log,
    redact,
    store,
    queue,
    live,
    rates,
    model: plugin?.model(models) ?? models,
    templates: deployTemplates([...agents, ...(plugin?.definitions ?? [])], price),
    price,
    onEffect: (record) => plugin?.onEffect(record),
    dispatch,
    telemetry,
    settled: async () => void (await Promise.allSettled([settled(), telemetry.flush()])),
    sweep: createSweeper({ config, store, dispatch, settled, alerts, clock, log, ending: isEnding }),
    alerts,
    metrics,
    checkRedis: live.ping,
    ending: isEnding,
    local: plugin?.services ?? null,
    ensureTenant: async (tenant) =>
      tenant === config.tenantId &&
      store.ensureTenant({
        id: tenant,
        environment: config.environment,
        secret: sealSecret(makeWebhookSecret(), config.encryptionKey),
      }),
    makeKey,
    sealSecret(plain) {
      webhookKey(plain)
      return sealSecret(plain, config.encryptionKey)
    },
    markSecret: (plain) => markSecret(plain, config.encryptionKey),
    makeWebhookSecret,
    checkWebhookAddress: (url) => checkWebhookAddress(url, { local: config.local }),
  }
  handOverAtSigterm(services)
  return services
}

/** What a process counts by itself is told so often, in milliseconds; local mode divides it. */
const flushEveryMs = 10_000
/** Steps in hand have so long after SIGTERM before they are cut and handed over; a tool that ignores that has a second more. */
const graceMs = 7_000

function handOverAtSigterm(services: Services): void {
  beforeTheEnd(async () => {
    services.log.info('told to end (SIGTERM or SIGINT): streams end, slices are handed over')
    endAllStreams()
    const slices = await handOverAll(graceMs, services.clock)
    await Promise.all([services.settled(), services.metrics.flush()])
    services.log.info('handed over', { slices })
    await services.live.close()
  })
}
