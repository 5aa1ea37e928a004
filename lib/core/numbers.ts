/** The longest that a template may let somebody be waited for, in milliseconds: 100 years, so that its end is a date that can be read. */
export const longestWaitMs = 3_153_600_000_000

/** What a number may be: whole unless `fraction` says otherwise. */
export interface Range {
  least: number
  most?: number
  fraction?: true
}

/**
 * Holds each number against its range; what is left out has its default and is not looked at. JSON has no Infinity and no NaN: what is
 * not refused here would become null on its way to the database. Throws a TypeError that says what to write.
 */
export function checkNumbers(whose: string, values: object | undefined, ranges: Readonly<Record<string, Range>>, within = ''): void {
  const given = new Map<string, unknown>(Object.entries(values ?? {}))
  for (const [name, { least, most = Number.MAX_SAFE_INTEGER, fraction }] of Object.entries(ranges)) {
    const value = given.get(name)
    if (value === undefined) continue
    const fits = typeof value === 'number' && (fraction === true ? Number.isFinite(value) : Number.isSafeInteger(value))
    if (fits && value >= least && value <= most) continue
    const kind = fraction === true ? 'number' : 'whole number'
    throw new TypeError(
      `${whose}: ${within}${name} is ${told(value)}; write a ${kind} from ${least} to ${most}, or leave it out for the default`,
    )
  }
}

function told(value: unknown): string {
  return typeof value === 'number' ? String(value) : value === null ? 'null' : `a ${typeof value}`
}
