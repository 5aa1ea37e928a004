/** Deeper values and more of them are left out where JSON itself could not write the value. */
const mostDepth = 64
const mostNodes = 50_000

/**
 * A copy of a value as JSON has it; undefined where JSON has nothing for it (undefined, a function, a symbol). Never throws: in the place of
 * what JSON cannot write stand a bigint's digits, `[circular]`, `[too large]`, and `[unreadable]` where a getter or `toJSON` throws.
 */
export function plain(value: unknown): unknown {
  try {
    return copied(value)
  } catch {
    return copied(writable({ nodes: 0, above: new Set() }, value, 0))
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
  if (typeof value !== 'object' || value === null) return value
  if (depth > mostDepth || (walk.nodes += 1) > mostNodes) return '[too large]'
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
