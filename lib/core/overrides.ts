import { z } from 'zod'
import { instant } from '#lib/core/instant'
import { permissionRules } from '#lib/core/policy'

/** Ready-made narrowings (lib/core/presets). */
export const presetNames = ['restricted', 'development', 'production', 'temporary'] as const
/** The name of a preset. */
export type PresetName = (typeof presetNames)[number]

/** What a caller may say about one agent or one message: each may only narrow what the template allows. */
export const overrides = z.strictObject({
  /** One of the template's models. */
  model: z.string().max(200).exactOptional(),
  permission: permissionRules.exactOptional(),
  preset: z.enum(presetNames).exactOptional(),
  /** After this instant nothing more is done. The database's clock decides. */
  expiresAt: instant.exactOptional(),
})
export type Overrides = z.infer<typeof overrides>

/** Overrides with their preset resolved: what rows hold and executors obey. Money in integer micro-dollars. */
export const narrowing = z.object({
  model: z.string().exactOptional(),
  permission: permissionRules.exactOptional(),
  expiresAt: z.string().exactOptional(),
  /** Of a preset: counted by the database from when the agent is made or the message is accepted. */
  expiresInMs: z.int().nonnegative().exactOptional(),
  /** Lowers the limits of runs; of an agent, `maxCostMicros` is also the limit of all its runs together. */
  limits: z.object({ maxCostMicros: z.int().nonnegative(), maxPerCallMicros: z.int().nonnegative().exactOptional() }).exactOptional(),
  /** So many model and tool calls of one agent in a window of so many milliseconds. */
  rate: z.object({ calls: z.int().nonnegative(), ms: z.int().positive() }).exactOptional(),
})
export type Narrowing = z.infer<typeof narrowing>

/** What narrows an agent or a message, as it was asked for and resolved; both or none. */
export interface Narrowed {
  overrides?: Overrides
  narrowing?: Narrowing
}

/** What callers see of it: the overrides as they were asked for, and when authority ends. */
export interface NarrowedView {
  overrides: Overrides
  expiresAt: string | null
}
