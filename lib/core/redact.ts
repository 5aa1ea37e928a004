import { isPasswordKey, isSecretKey } from '#lib/core/secret-keys'
import { redacted, redactText } from '#lib/core/secret-values'

/** Gives a copy of the same shape without secrets, by key and by value; the value itself where there is nothing to hide. */
export type Redact = <Value>(value: Value) => Value

/** Deeper values and more of them are left out, so that no value makes the work unbounded. */
const mostDepth = 64
const mostNodes = 50_000

/** Shorter values are no secrets worth the name, and would be found inside of everyday words. */
const leastSecretLength = 8

/**
 * Makes a redactor that also hides the secrets of this process wherever they stand, whatever they look like: as they are and as they are
 * written in URLs and in JSON.
 */
export function createRedactor(knownSecrets: readonly (string | null | undefined)[] = []): Redact {
  const known = knownPattern(knownSecrets)
  const text = known === null ? redactText : (value: string) => redactText(value.replace(known, redacted))
  return <Value>(value: Value): Value => {
    const walk: Walk = { text, nodes: 0, above: new Set() }
    return visit(walk, value, false, 0) as Value
  }
}

/** Redacts by the rules alone, without the secrets of a process: for code that has no services. */
export const redact: Redact = createRedactor()

function knownPattern(secrets: readonly (string | null | undefined)[]): RegExp | null {
  const forms = secrets.flatMap((secret) =>
    secret === null || secret === undefined || secret.length < leastSecretLength
      ? []
      : [secret, encodeURIComponent(secret.toWellFormed()), JSON.stringify(secret).slice(1, -1)],
  )
  if (forms.length === 0) return null
  // The longest first: a secret may begin with another.
  const sorted = [...new Set(forms)].toSorted((a, b) => b.length - a.length)
  return new RegExp(sorted.map((form) => form.replaceAll(/[.*+?^${}()|[\]\\/]/g, String.raw`\$&`)).join('|'), 'g')
}

interface Walk {
  text: (value: string) => string
  nodes: number
  above: Set<object>
}

function visit(walk: Walk, value: unknown, secret: boolean, depth: number): unknown {
  if (typeof value === 'string') return secret && value !== '' ? redacted : walk.text(value)
  if (typeof value === 'bigint') return secret ? redacted : String(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth > mostDepth || (walk.nodes += 1) > mostNodes) return '[too large]'
  if (walk.above.has(value)) return '[circular]'
  walk.above.add(value)
  try {
    if (Array.isArray(value)) return visitArray(walk, value, secret, depth)
    if ('toJSON' in value && typeof value.toJSON === 'function') return visit(walk, value.toJSON(), secret, depth + 1)
    return visitObject(walk, value, secret, depth)
  } finally {
    walk.above.delete(value)
  }
}

function visitArray(walk: Walk, value: readonly unknown[], secret: boolean, depth: number): unknown {
  const copy = value.map((item) => visit(walk, item, secret, depth + 1))
  return copy.every((item, index) => Object.is(item, value[index])) ? value : copy
}

function visitObject(walk: Walk, value: object, secret: boolean, depth: number): unknown {
  const entries = Object.entries(value)
  const named = entries.length <= 4 && namesSecret(value)
  let changed = false
  const copy = entries.map(([key, inner]): [string, unknown] => {
    const shownKey = walk.text(key)
    const hidden = secret || isSecretKey(key) || (named && key === 'value')
    // Elsewhere numbers are counts and instants, which stay.
    const shown = typeof inner === 'number' && isPasswordKey(key) ? redacted : visit(walk, inner, hidden, depth + 1)
    if (shownKey !== key || !Object.is(shown, inner)) changed = true
    return [shownKey, shown]
  })
  return changed ? Object.fromEntries(copy) : value
}

/** The form in which lists of headers and of variables stand: {name: 'authorization', value: '...'}. */
function namesSecret(value: object): boolean {
  if (!('value' in value)) return false
  const name = 'name' in value ? value.name : 'key' in value ? value.key : 'header' in value ? value.header : null
  return typeof name === 'string' && isSecretKey(name)
}
