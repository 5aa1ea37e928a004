import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { AnyTool } from '#lib/core/define'

/** What the model and a person were told of a tool; a change of it makes the input of an approval be looked at again. */
export function fingerprintOf(tool: Pick<AnyTool, 'name' | 'description' | 'input' | 'effect'>): string {
  const { name, description, effect } = tool
  return sha256(stable({ name, description, effect, input: z.toJSONSchema(tool.input, { unrepresentable: 'any' }) }))
}

/** The hash of exactly this input: what an approval is bound to. The order of members does not matter. */
export function inputHash(input: unknown): string {
  return sha256(stable(input ?? null))
}

function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex')
}

function stable(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([left], [right]) => (left < right ? -1 : 1)))
      : inner,
  )
}
