import type { NewEvent } from '#lib/core/commit'
import type { ToolContext } from '#lib/core/define'
import { mostDepth, plain, tooDeep } from '#lib/core/plain'
import type { ToolCall } from '#lib/core/run'
import { jsonBytes } from '#lib/core/window'

/** Of all its events a call keeps so many. */
const mostEvents = 100
/** Each slice of a run loads the whole state, and each page of events what was emitted: both have a most, in bytes of JSON. */
const mostValueBytes = 65_536
const mostStateBytes = 262_144
const mostEmittedBytes = 65_536
/** As the table of the state has it (0001), which counts whole characters. */
const mostKeyLength = 128
const keyPattern = new RegExp(`^.{1,${mostKeyLength}}$`, 'su')

/** What a call writes beside its result; the outcome's commit stores it. An undefined value takes its key out of the state. */
export interface ToolWrites {
  values: Record<string, unknown>
  events: NewEvent[]
}

/** The `state` and `emit` of one execution; after `end` they change nothing any more. */
export interface WritingContext extends Pick<ToolContext, 'state' | 'emit'> {
  end(how: 'keep' | 'drop'): void
}

/**
 * Lets a tool read the stored state and write into `writes`. What goes in and out is a copy, as JSON has it: a tool that changes what it
 * was given or has set changes nothing, and reads in this slice what it would read in the next one. `set` and `emit` throw a TypeError for
 * what is no JSON or too large: that is the call's error.
 */
export function writingContext(stored: Readonly<Record<string, unknown>>, call: ToolCall, writes: ToolWrites): WritingContext {
  let open = true
  return {
    state: {
      get(key) {
        const from = Object.hasOwn(writes.values, key) ? writes.values : stored
        return Object.hasOwn(from, key) ? structuredClone(from[key]) : undefined
      },
      set(key, value) {
        if (!open) return
        checkKey(key)
        // Objects that the state passes through would lose it.
        if (key === '__proto__') throw new TypeError('state.set: "__proto__" is no key; take another name')
        const what = `state.set(${JSON.stringify(key)})`
        const copy = value === undefined ? undefined : storable(what, value)
        atMost(what, 'one value', jsonBytes(copy), mostValueBytes)
        const after = jsonBytes({ ...stored, ...writes.values, [key]: copy })
        // What makes the state smaller is always taken.
        if (after > jsonBytes({ ...stored, ...writes.values })) atMost(what, 'all values of the agent', after, mostStateBytes)
        writes.values[key] = copy
      },
    },
    emit(type, data) {
      if (!open || writes.events.length >= mostEvents) return
      const copy = plain(data)
      atMost(`emit(${JSON.stringify(type)})`, 'one event', jsonBytes(copy), mostEmittedBytes)
      const { callId, step } = call
      writes.events.push({ channel: 'monitor', type: 'custom', step, data: { toolName: call.name, callId, eventType: type, data: copy } })
    },
    end(how) {
      open = false
      if (how === 'drop') writes.values = {}
    },
  }
}

/** The store takes no other: found there, it would fail the outcome of what has been done, or keep it under another name. */
function checkKey(key: unknown): void {
  if (typeof key === 'string' && keyPattern.test(key) && key.isWellFormed() && !key.includes('\u0000')) return
  const shown = typeof key === 'string' ? JSON.stringify(key.slice(0, mostKeyLength)) : `a ${typeof key}`
  throw new TypeError(`state.set: ${shown} is no key; a key has 1 to ${mostKeyLength} characters, and no NUL and no half of a character`)
}

function storable(what: string, value: unknown): unknown {
  let json: string | undefined
  try {
    json = JSON.stringify(value)
  } catch (thrown) {
    throw new TypeError(`${what}: the value is no JSON (${thrown instanceof Error ? thrown.message : typeof thrown})`, { cause: thrown })
  }
  if (json === undefined) throw new TypeError(`${what}: the value is no JSON (${typeof value})`)
  const copy: unknown = JSON.parse(json)
  if (tooDeep(copy)) throw new TypeError(`${what}: the value is nested deeper than ${mostDepth} levels`)
  return copy
}

function atMost(what: string, whole: string, bytes: number, most: number): void {
  if (bytes <= most) return
  throw new TypeError(`${what}: ${bytes} bytes of JSON, and ${whole} may have ${most}. Keep it elsewhere and only its key here.`)
}
