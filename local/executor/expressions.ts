/** What the executor evaluates a key or filter expression on. */
export interface ExpressionInput {
  readonly event: Readonly<Record<string, unknown>>
}

/** An evaluated expression of the small part of CEL that the executor knows. */
export type Expression<T> = (input: ExpressionInput) => T

type Operand = Expression<unknown>

const PATH = /^event(\.[A-Za-z_]\w*)+$/

function operand(text: string): Operand | null {
  const source = text.trim()
  if (/^'[^'\\]*'$/.test(source) || /^"[^"\\]*"$/.test(source)) return () => source.slice(1, -1)
  if (/^-?\d+(\.\d+)?$/.test(source)) return () => Number(source)
  if (source === 'true' || source === 'false') return () => source === 'true'
  if (!PATH.test(source)) return null
  const names = source.split('.').slice(1)
  return ({ event }) => {
    let value: unknown = event
    for (const name of names) {
      if (typeof value !== 'object' || value === null) return undefined
      value = Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined
    }
    return value
  }
}

/** Splits at a separator that stands outside quotes. */
function split(text: string, separator: string): string[] {
  const parts: string[] = []
  let quote = ''
  let start = 0
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index] ?? ''
    if (quote) {
      if (character === quote) quote = ''
    } else if (character === '"' || character === "'") quote = character
    else if (text.startsWith(separator, index)) {
      parts.push(text.slice(start, index))
      start = index + separator.length
      index = start - 1
    }
  }
  return [...parts, text.slice(start)]
}

/** Reads a concurrency key: `event.data.x`, a constant, or several joined by `+`; null when it is anything else. */
export function keyExpression(text: string): Expression<string> | null {
  const parts = split(text, '+').map(operand)
  const known = parts.filter((part) => part !== null)
  if (known.length !== parts.length) return null
  return (input) =>
    known
      .map((part) => {
        const value = part(input)
        return typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
      })
      .join('')
}

/** Reads a trigger's filter: `path == literal` or `!=`, several joined by `&&`; null when it is anything else. */
export function filterExpression(text: string): Expression<boolean> | null {
  const terms: Expression<boolean>[] = []
  for (const term of split(text, '&&')) {
    const negated = split(term, '!=').length === 2
    const sides = split(term, negated ? '!=' : '==')
    const left = operand(sides[0] ?? '')
    const right = operand(sides[1] ?? '')
    if (sides.length !== 2 || !left || !right) return null
    terms.push((input) => (left(input) === right(input)) !== negated)
  }
  return (input) => terms.every((term) => term(input))
}
