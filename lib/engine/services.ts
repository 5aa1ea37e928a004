import type { Config } from '#lib/core/config'
import type { AgentDefinition } from '#lib/core/define'
import type { Clock, EffectRecord, Ids, Live, Log, ModelPort, OutboxRow, Telemetry } from '#lib/core/ports'
import type { ModelPrice } from '#lib/core/prices'
import type { RateLimits } from '#lib/core/rate'
import type { Redact } from '#lib/core/redact'
import type { AgentSettings } from '#lib/core/run'
import type { EngineStore } from '#lib/core/store'

/** The deployed templates, by id, with what the database needs to know of each. */
export interface Templates {
  get(id: string): AgentDefinition | undefined
  ids(): string[]
  /** Template id -> version (the hash of its definition). */
  versions: Record<string, string>
  settings(id: string): AgentSettings | null
  /** The template of an agent that a message creates without naming one. */
  fallback: string | null
}

/** What the engine is made of; lib/baton puts the parts together. */
export interface EngineServices {
  config: Pick<
    Config,
    | 'environment'
    | 'leaseMs'
    | 'haste'
    | 'maxStepCrashes'
    | 'maxResultBytes'
    | 'toolTimeoutMs'
    | 'modelSilenceMs'
    | 'maxDurationMs'
    | 'hardMarginMs'
    | 'log'
  >
  store: EngineStore
  model: ModelPort
  live: Live
  rates: Pick<RateLimits, 'tool' | 'model' | 'unused'>
  clock: Clock
  ids: Ids
  log: Log
  telemetry: Telemetry
  /** Hides secrets, those of this process above all, in what leaves for operators and watchers. */
  redact: Redact
  templates: Templates
  /** Micro-dollars per million tokens of `provider/model`, or null. */
  price(model: string): ModelPrice | null
  /** Told before each effect; the local mode writes its effects log from it. */
  onEffect(record: EffectRecord): void | Promise<void>
  /** Hands committed outbox rows on; returns at once, the sending goes on beside the work. */
  dispatch(rows: readonly OutboxRow[]): void
  /** True from SIGTERM on: nothing is begun any more. */
  ending(): boolean
}
