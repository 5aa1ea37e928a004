import pg from 'pg'
import { noRates } from '#lib/core/rate'
import type { Log, OutboxRow } from '#lib/core/ports'
import { redact } from '#lib/core/redact'
import type { Authority } from '#lib/core/store'
import { deadlinesFrom } from '#lib/engine/deadlines'
import { openMessage, type MessageRequest } from '#lib/engine/open'
import type { EngineServices } from '#lib/engine/services'
import { startSlice } from '#lib/engine/slices'
import { deployTemplates } from '#lib/engine/templates'
import { createLive } from '#lib/live/live'
import { createStore } from '#lib/store/store'
import { systemClock } from '#lib/system/clock'
import { systemIds } from '#lib/system/ids'
import { createTelemetry } from '#lib/telemetry/telemetry'
import { prepareDatabase } from '#local/database'
import { createScriptedModel, scriptedPrice } from '#local/scripted/model'
import { scriptedDefinition } from '#local/scripted/template'
import { fillHistory } from '#bench/history'
import type { Peer } from '#bench/peers/peer'
import { plainTurn, toolTurn } from '#bench/scripts'

const authority: Authority = { environment: 'bench', credential: { operator: { tenant: 'ten_bench', name: 'bench' } }, requestId: null }

const quiet: Log = {
  info: () => undefined,
  warn: (message, fields) => console.error(message, fields),
  error: (message, fields) => console.error(message, fields),
}

/** The engine as lib/baton puts it together, without HTTP, Redis and Inngest, and its SQL functions called over a direct connection. */
function engineOver(pool: pg.Pool): { services: EngineServices; store: ReturnType<typeof createStore> } {
  const clock = systemClock()
  const ids = systemIds()
  const store = createStore(async (name, argument) => {
    const text = `select public.${pg.escapeIdentifier(name)}($1::jsonb) as result`
    const { rows } = await pool.query<{ result: unknown }>({ name, text, values: [JSON.stringify(argument)] })
    return rows[0]?.result
  })
  const sent = (rows: readonly OutboxRow[]): void => void (rows.length > 0 && store.outboxSent(rows.map((row) => row.id)))
  const services: EngineServices = {
    config: {
      environment: authority.environment,
      leaseMs: 30_000,
      haste: 1,
      maxStepCrashes: 3,
      maxResultBytes: 65_536,
      toolTimeoutMs: 60_000,
      modelSilenceMs: 60_000,
      maxDurationMs: 60_000,
      hardMarginMs: 5_000,
      log: { format: 'json', lines: [] },
    },
    store,
    model: createScriptedModel({ clock }),
    live: createLive({ redis: null, commandTimeoutMs: 300, clock, log: quiet, processId: ids.make('proc') }),
    rates: noRates,
    clock,
    ids,
    log: quiet,
    telemetry: createTelemetry({ ids, recorder: null, log: console }),
    redact,
    templates: deployTemplates([scriptedDefinition], () => scriptedPrice),
    price: () => scriptedPrice,
    onEffect: () => undefined,
    dispatch: sent,
    ending: () => false,
  }
  return { services, store }
}

function messageTo(agentName: string, content: string): MessageRequest {
  return {
    authority,
    agentName,
    template: scriptedDefinition.id,
    mustExist: false,
    content,
    kind: 'message',
    metadata: {},
    onBusy: null,
    limits: null,
    narrowed: null,
    webhook: null,
    traceparent: null,
    idempotency: null,
    execute: true,
  }
}

/** Baton's own engine in the shape of the peers: one process, a direct connection, nothing between the caller and the loop. */
export const peer: Peer = {
  name: 'Baton, in process',
  async open(databaseUrl, fresh) {
    if (fresh) await prepareDatabase(databaseUrl)
    const pool = new pg.Pool({ connectionString: databaseUrl, max: 10, options: '-c role=service_role' })
    const owner = new pg.Pool({ connectionString: databaseUrl, max: 1 })
    const { services, store } = engineOver(pool)
    const ensureTenant = async (id: string) => store.ensureTenant({ id, environment: authority.environment, secret: 'none' })
    async function run(agentName: string, content: string): Promise<string | null> {
      const start = services.clock.monotonic()
      const { answer, asked, reserve } = await openMessage(services, messageTo(agentName, content), ensureTenant)
      if (answer.opened == null) throw new Error(`the agent was not free: ${JSON.stringify(answer)}`)
      const slice = startSlice(
        services,
        { opened: answer.opened, opening: answer.opening ?? null, gates: answer.gates ?? {} },
        {
          asked,
          deadlines: deadlinesFrom(services, start, answer.opened.run.limits.sliceMs, null),
          reserve: reserve === null ? null : { entry: reserve, verdict: answer },
        },
      )
      const done = await slice.done
      return 'output' in done ? done.output : null
    }
    return {
      async fill(thread, messages) {
        await run(thread, plainTurn) // makes the agent
        await fillHistory(owner, thread, messages)
      },
      async turn(thread) {
        const output = await run(thread, toolTurn)
        if (output !== 'done') throw new Error(`it ended with ${JSON.stringify(output)}`)
      },
      async count(thread) {
        const { rows } = await owner.query<{ many: string }>(
          'select count(*) as many from baton.messages m join baton.agents a using (agent_uid) where a.id = $1',
          [thread],
        )
        return Number(rows[0]?.many ?? 0)
      },
      async close() {
        await services.live.close()
        await Promise.all([pool.end(), owner.end()])
      },
    }
  },
}
