import { appendFileSync, existsSync, mkdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { LocalServices } from '#lib/services'
import type { Config } from '#lib/core/config'
import type { AgentDefinition } from '#lib/core/define'
import type { Clock, EffectRecord, Log, ModelPort } from '#lib/core/ports'
import type { ModelPrice } from '#lib/core/prices'
import type { ProviderEntry, ProviderEnv } from '#lib/models/provider-entry'
import type { Rpc } from '#lib/store/rpc'
import { createCrasher, crashPoint } from '#local/crash'
import { extraTemplates } from '#local/scripted/extra'
import { hookedDefinition } from '#local/scripted/hooked'
import { localModels } from '#local/scripted/local-models'
import { createScriptedModel, scriptedPrice } from '#local/scripted/model'
import { deployedScripted } from '#local/scripted/template'

/** What the local mode brings: template and model `scripted`, the clock that tests move, the effects log around the ports. */
export interface LocalPlugin {
  definitions: readonly AgentDefinition[]
  model(models: ModelPort): ModelPort
  price(model: string): ModelPrice | null
  /** Wraps the door to the database, so that tests can let this process die before or after a call. */
  rpc(rpc: Rpc): Rpc
  onEffect(record: EffectRecord): void
  services: LocalServices
}

export interface LocalInput {
  config: Config
  clock: Clock
  log: Log
  env: ProviderEnv
  providers: Readonly<Record<string, ProviderEntry>>
}

const keyed = z.looseObject({ key: z.string() })
const timeAnswer = z.object({ now: z.string(), offsetMs: z.number() })

/** Made by lib/baton when BATON_LOCAL is set, and by nothing else. */
export async function localPlugin({ config, clock, log, env, providers }: LocalInput): Promise<LocalPlugin> {
  const dataDir = env('BATON_DATA_DIR') ?? '.baton'
  mkdirSync(dataDir, { recursive: true })
  const effectsFile = join(dataDir, 'effects.jsonl')
  const crasher = createCrasher(dataDir)
  const real = (env('BATON_LOCAL_REAL') ?? '').split(',')
  const scripted = createScriptedModel({ clock })
  const extra = extraTemplates(env)
  let direct: Rpc | null = null

  return {
    definitions: real.includes('supabase') ? [] : [...deployedScripted(dataDir), hookedDefinition(dataDir), ...extra.definitions],
    model: (models) => localModels({ models, scripted, providers, env, real: real.includes('models'), log }),
    price: (model) => extra.price(model) ?? (model.startsWith('local/') ? scriptedPrice : null),
    rpc(rpc) {
      direct = rpc
      return crasher.wrap(rpc)
    },
    onEffect(record) {
      const { input, ...rest } = record
      const parsed = keyed.safeParse(input)
      const line = {
        at: new Date(clock.now()).toISOString(),
        ...rest,
        ...(parsed.success ? { key: parsed.data.key } : {}),
        pid: process.pid,
      }
      // Synchronous and outside any transaction: what is in the log has been tried, whatever becomes of this process.
      appendFileSync(effectsFile, `${JSON.stringify(line)}\n`)
      crasher.effect(record.kind)
    },
    services: {
      async effects({ key, runId }) {
        const text = existsSync(effectsFile) ? await readFile(effectsFile, 'utf8') : ''
        const lines = text.split('\n').filter((line) => line !== '')
        return lines
          .map((line): Record<string, unknown> => JSON.parse(line))
          .filter((effect) => (key === undefined || effect['key'] === key) && (runId === undefined || effect['runId'] === runId))
      },
      async time(advanceMs) {
        if (direct === null) throw new Error('the store is not composed yet')
        const { now, offsetMs } = timeAnswer.parse(await direct('baton_local_time', { advanceMs }))
        if (config.inngest.dev !== null && advanceMs > 0) {
          const body = JSON.stringify({ offsetMs })
          const headers = { 'content-type': 'application/json' }
          await fetch(`${config.inngest.dev}/clock`, { method: 'POST', body, headers, signal: AbortSignal.timeout(20_000) })
        }
        return { now, offsetMs }
      },
      crash: (point) => crasher.arm(point === null ? null : crashPoint.parse(point)),
    },
  }
}
