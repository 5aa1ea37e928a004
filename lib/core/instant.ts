import { z } from 'zod'

const first = Date.parse('0001-01-01T00:00:00Z')
const end = Date.parse('9999-12-31T23:59:59Z') + 1_000

/** Whether Postgres takes it and gives it back with a year of four digits: it rounds to microseconds, and knows no year 0 and no offset above 15:59. */
function isKept(text: string): boolean {
  const [, fraction = '0'] = /\.(\d+)/.exec(text) ?? []
  const [, hours = '0'] = /[+-](\d\d):\d\d$/.exec(text) ?? []
  const at = Date.parse(text.replace(/\.\d+/, '')) + (Number(`0.${fraction}`) >= 0.9999995 ? 1_000 : 0)
  return !text.startsWith('0000') && at >= first && at < end && Number(hours) <= 15 && fraction.length <= 30
}

/** An instant as callers write it: ISO 8601 with an offset, and one that the database can keep. */
export const instant = z.iso
  .datetime({ offset: true, abort: true })
  .refine(isKept, 'must lie in the years 0001 to 9999 of UTC, with an offset of at most 15:59 and at most 30 decimals')

/** The instant so many milliseconds before another, but none before the first that the database can keep. */
export function instantBefore(at: string, ms: number): string {
  return new Date(Math.max(first, Date.parse(at) - ms)).toISOString()
}
