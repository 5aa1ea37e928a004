import { script } from '#tests/world'

/** A request that must be refused, and with what. */
export interface Case {
  name: string
  method?: string
  path?: string
  body?: unknown
  headers?: Record<string, string>
  status: number
  code: string
  /** What the detail must name: the thing that is wrong, or the cure. */
  says: RegExp
}

/** A message that nothing is wrong with. */
export const message = script({ text: 'hi' })
/** Where cases go that name no path. */
export const send = '/api/agents/fresh/messages'

/** A cursor of nobody's making. */
export function forged(text: string): string {
  return Buffer.from(text).toString('base64url')
}
