/** What a field of a dialog holds, by its name. */
type Field = (name: string) => string

/** What was typed over an input: null, it is left as asked; undefined, it is no JSON yet. */
export function editedInput(asked: string, typed: string | null): { value: unknown } | null | undefined {
  if (typed === null || typed === asked) return null
  try {
    return { value: JSON.parse(typed) as unknown }
  } catch {
    // Half-typed JSON is no input yet.
    return undefined
  }
}

/** What decides an approval. A denial changes no input, and allows nothing for good. */
export function decisionBody(
  decision: 'allow' | 'deny',
  { note, input, always }: { note: string; input: { value: unknown } | null | undefined; always: boolean },
): Record<string, unknown> {
  return {
    decision,
    ...(note.trim() === '' ? {} : { note: note.trim() }),
    ...(decision === 'allow' && input ? { input: input.value } : {}),
    ...(decision === 'allow' && always ? { always: true } : {}),
  }
}

/** What interrupts the run that was looked at, and never the one that has followed it. */
export function interruptBody(runId: string, field: Field): Record<string, unknown> {
  return { runId, ...(field('reason') === '' ? {} : { reason: field('reason') }) }
}

/** The limits of a scope: dollars are sent as micros; what is left empty is not limited, 0 allows nothing. */
export function limitsBody(field: Field): Record<string, unknown> {
  const number = (name: string, times: number): number | null => (field(name) === '' ? null : Math.round(Number(field(name)) * times))
  return {
    period: field('period'),
    limitMicros: number('limit', 1_000_000),
    maxPerCallMicros: number('perCall', 1_000_000),
    limitTokens: number('tokens', 1),
    limitCalls: number('calls', 1),
  }
}

/** A new key, which ends so many days after `now` (milliseconds since the epoch); never where none are given. */
export function keyBody(field: Field, scopes: readonly unknown[], now: number): Record<string, unknown> {
  const days = field('expires')
  return {
    name: field('name'),
    scopes,
    ...(days === '' ? {} : { expiresAt: new Date(now + Number(days) * 86_400_000).toISOString() }),
  }
}

/** Whether a switch stops more than one agent, user, key or run. */
export function isWide(scope: string): boolean {
  return scope === 'tenant' || scope === 'global'
}

/** A kill or hold. Throws where a wide one was not typed a second time. */
export function switchBody(scope: string, field: Field): Record<string, unknown> {
  if (isWide(scope) && field('again') !== scope) throw new Error(`Type ${scope} to confirm.`)
  return { scope, mode: field('mode'), reason: field('reason') }
}
