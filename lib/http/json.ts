import { createHash } from 'node:crypto'
import { mostDepth } from '#lib/core/plain'

/** Deepest nesting of arrays and objects in a body. */
export const maxDepth = mostDepth

/** Why a text was not taken as JSON; `position` counts characters from 0. */
export interface JsonFault {
  reason: string
  position: number
}

/** Reads JSON text with a bound on nesting. Never throws: a fault is a value. Duplicate keys: the last one wins, as in JSON.parse. */
export function parseJson(text: string): { ok: true; value: unknown } | { ok: false; fault: JsonFault } {
  const deep = tooDeepAt(text)
  if (deep !== null) return { ok: false, fault: { reason: `nested deeper than ${maxDepth} levels`, position: deep } }
  try {
    const value: unknown = JSON.parse(text)
    return { ok: true, value }
  } catch {
    // The engine's own message quotes the text (which may hold secrets) and often has no position.
    return { ok: false, fault: locateFault(text) }
  }
}

/** Where the nesting passes `maxDepth`, or null. Counted on the text, so that no parser sees deeper nesting. */
function tooDeepAt(text: string): number | null {
  let depth = 0
  let inString = false
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at]
    if (inString) {
      if (character === '\\') at += 1
      else if (character === '"') inString = false
    } else if (character === '"') inString = true
    else if (character === '[' || character === '{') {
      depth += 1
      if (depth > maxDepth) return at
    } else if (character === ']' || character === '}') depth -= 1
  }
  return null
}

const space = /[ \t\n\r]*/y
const scalar = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)/y
// One character a turn: a quantified group would overflow the engine's stack on a long string.
const stringCharacter = /[^"\\\u0000-\u001f]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y

/** The first place where the text stops being JSON. Only called for text that JSON.parse has refused and that is not too deep. */
function locateFault(text: string): JsonFault {
  const skip = (pattern: RegExp, at: number): number => {
    pattern.lastIndex = at
    return pattern.test(text) ? pattern.lastIndex : at
  }
  const fault = (at: number): JsonFault => ({
    reason: at >= text.length ? 'the text ends too early' : 'unexpected character',
    position: at,
  })
  const string = (at: number): number | JsonFault => {
    if (text[at] !== '"') return fault(at)
    let here = at + 1
    for (;;) {
      const next = skip(stringCharacter, here)
      if (next === here) return text[here] === '"' ? here + 1 : fault(here)
      here = next
    }
  }
  const members = (at: number, close: string, member: (at: number) => number | JsonFault): number | JsonFault => {
    let here = skip(space, at + 1)
    if (text[here] === close) return here + 1
    for (;;) {
      const end = member(here)
      if (typeof end !== 'number') return end
      here = skip(space, end)
      if (text[here] === close) return here + 1
      if (text[here] !== ',') return fault(here)
      here = skip(space, here + 1)
    }
  }
  const value = (start: number): number | JsonFault => {
    const at = skip(space, start)
    if (text[at] === '[') return members(at, ']', value)
    if (text[at] === '{') {
      return members(at, '}', (keyAt) => {
        const key = string(keyAt)
        if (typeof key !== 'number') return key
        const colon = skip(space, key)
        return text[colon] === ':' ? value(colon + 1) : fault(colon)
      })
    }
    if (text[at] === '"') return string(at)
    const end = skip(scalar, at)
    return end === at ? fault(at) : end
  }
  const end = value(0)
  return typeof end === 'number' ? fault(skip(space, end)) : end
}

/** Line and column, both from 1, of a position in a text. */
export function lineAndColumn(text: string, position: number): { line: number; column: number } {
  const before = text.slice(0, position)
  const line = before.split('\n').length
  return { line, column: position - before.lastIndexOf('\n') }
}

/** JSON Pointers (RFC 6901) of keys named `__proto__`, which would set a prototype where values are copied; at most ten. */
export function prototypeKeys(value: unknown): string[] {
  const found: string[] = []
  const walk = (here: unknown, path: string): void => {
    if (found.length >= 10 || typeof here !== 'object' || here === null) return
    for (const [key, inner] of Object.entries(here)) {
      if (key === '__proto__') found.push(`${path}/${key}`)
      else walk(inner, `${path}/${pointerToken(key)}`)
    }
  }
  walk(value, '')
  return found
}

/** One reference token of a JSON Pointer, escaped and cut at 200 characters. */
export function pointerToken(key: PropertyKey): string {
  return String(key).slice(0, 200).replaceAll('~', '~0').replaceAll('/', '~1')
}

/** JSON with keys in code unit order and without spaces: the same text for the same value (RFC 8785 for what JSON.parse returns). */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item)).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .toSorted(([left], [right]) => (left < right ? -1 : 1))
      .map(([key, inner]) => `${JSON.stringify(key)}:${canonicalJson(inner)}`)
    return `{${members.join(',')}}`
  }
  return JSON.stringify(value) ?? 'null'
}

/** SHA-256 of the text's UTF-8 bytes in lower-case hex. */
export function sha256Hex(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex')
}
