/** Deepest nesting of what comes from models and tools, as of bodies: what walks through it calls itself once a level. */
export const mostDepth = 64
/** Of a value that JSON itself could not write, or that is too deep, so many parts are kept. */
const mostNodes = 50_000

/** Whether a value that came from JSON is nested deeper than `mostDepth` levels. Goes level by level, however deep it is. */
export function tooDeep(value: unknown): boolean {
  let level = [value].filter(isObject)
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth >= mostDepth) return true
    level = level.flatMap((part) => Object.values(part).filter(isObject))
  }
  return false
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null

/**
 * A copy of a value as JSON has it; undefined where JSON has nothing for it (undefined, a function, a symbol). Never throws: in the place of
 * what JSON cannot write stand a bigint's digits, `[circular]`, `[too large]` (also what is nested too deep, or longer than a string may be),
 * and `[unreadable]` where a getter or `toJSON` throws.
 */
export function plain(value: unknown): unknown {
  try {
    const copy = copied(value)
    if (!tooDeep(copy)) return copy
  } catch {
    // Written piece by piece below.
  }
  try {
    return copied(writable({ nodes: 0, above: new Set() }, value, 0))
  } catch {
    // Longer than a string may be.
    return '[too large]'
  }
}

function copied(value: unknown): unknown {
  const json = JSON.stringify(value) as string | undefined
  return json === undefined ? undefined : JSON.parse(json)
}

interface Walk {
  nodes: number
  above: Set<object>
}

/** The value without what makes JSON.stringify throw. */
function writable(walk: Walk, value: unknown, depth: number): unknown {
  if (typeof value === 'bigint') return String(value)
  // One that has a toJSON would be asked for it.
  if (typeof value === 'function' || typeof value === 'symbol') return undefined
  if (typeof value !== 'object' || value === null) return value
  if (depth >= mostDepth || (walk.nodes += 1) > mostNodes) return '[too large]'
  if (walk.above.has(value)) return '[circular]'
  walk.above.add(value)
  try {
    if (Array.isArray(value)) return value.map((item) => writable(walk, item, depth + 1))
    if ('toJSON' in value && typeof value.toJSON === 'function') return writable(walk, value.toJSON(), depth + 1)
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, writable(walk, inner, depth + 1)]))
  } catch {
    return '[unreadable]'
  } finally {
    walk.above.delete(value)
  }
}

/** Text as Postgres can store it: no NUL, no lone surrogates. */
export function storable(text: string): string {
  return text.toWellFormed().replaceAll('\u0000', '\uFFFD')
}
