import { BatonError } from '#lib/core/errors'

/**
 * The numbers of a response's stream are made from rows alone (3-http-api, Dialects): event seq x 2^20 + offset. Offsets below
 * `firstLive` number what a row shows; from there on they number what is shown after it of a text that has no row yet.
 */
const perRow = 2 ** 20
const firstLive = 1_024
/** The last offset: all that there is of the text. Longer texts are sent once they are stored. */
export const wholeText = perRow - 1

/** A place in a stream: after the `offset`-th thing that the row `seq` has led to; seq 0 is before the first row. */
export interface Position {
  seq: number
  offset: number
}

/** What a row shows has these offsets: before the ends of a text there is room for one that replaces what was shown live. */
export const atRow = { replaced: 0, item: 1, part: 2, text: 3, textDone: 4, partDone: 5, itemDone: 6 } as const

/** The offsets of a text that is on its way. */
export const live = { item: firstLive, part: firstLive + 1 } as const

/** The offset once `length` UTF-16 units have been shown; null where the numbers do not reach. */
export function offsetOf(length: number): number | null {
  const offset = live.part + length
  return offset < wholeText ? offset : null
}

/** The number of a place. */
export function numberOf({ seq, offset }: Position): number {
  return seq * perRow + offset
}

/** The place of a number; numbers are whole and not negative. */
export function positionOf(number: number): Position {
  return { seq: Math.floor(number / perRow), offset: number % perRow }
}

/** How far a text was shown at an offset: null where the offset is a row's, infinity for all of it. */
export function shownAt(offset: number): number | null {
  if (offset < firstLive) return null
  return offset === wholeText ? Number.POSITIVE_INFINITY : Math.max(0, offset - live.part)
}

/** Refuses a place that nobody was ever given, or that is not kept: it is never guessed what was seen. */
export function notServed(place: Position): BatonError {
  return new BatonError(
    'invalid_cursor',
    `starting_after ${numberOf(place)} is no sequence_number of this response, or lies beyond its end; retrieve it, or stream it from the beginning.`,
  )
}
