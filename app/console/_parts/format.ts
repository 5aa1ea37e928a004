/** Dollars of integer micro-dollars: two digits, or as many as a small sum needs to be seen. */
export function money(micros: number | null | undefined): string {
  if (micros === null || micros === undefined) return '–'
  const dollars = micros / 1_000_000
  if (dollars === 0) return '$0'
  const digits = Math.abs(dollars) >= 1 ? 2 : Math.abs(dollars) >= 0.01 ? 3 : Math.abs(dollars) >= 0.001 ? 4 : 6
  return `$${dollars.toLocaleString('en-US', { minimumFractionDigits: Math.min(2, digits), maximumFractionDigits: digits })}`
}

export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? '–' : value.toLocaleString('en-US')
}

/** 850 ms, 1.2 s, 3 min 20 s, 2 h 5 min, 3 d. */
export function duration(ms: number): string {
  // Rounded before it is split: 59.96 s are a minute, and no minute has 60 s.
  const seconds = Math.round(ms / 1_000)
  const minutes = Math.round(ms / 60_000)
  if (Math.round(ms) < 1_000) return `${Math.max(0, Math.round(ms))} ms`
  if (Math.round(ms / 100) < 100) return `${(ms / 1_000).toFixed(1)} s`
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  if (minutes < 1_440) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
  return `${Math.round(ms / 86_400_000)} d`
}

/** How long ago, roughly; instants to come read "in …". */
export function ago(at: string, now: number): string {
  const ms = now - Date.parse(at)
  const far = Math.abs(ms)
  if (far < 5_000) return 'now'
  const [value, unit] =
    far < 60_000
      ? [far / 1_000, 's']
      : far < 3_600_000
        ? [far / 60_000, 'min']
        : far < 86_400_000
          ? [far / 3_600_000, 'h']
          : [far / 86_400_000, 'd']
  const text = `${Math.floor(value)} ${unit}`
  return ms < 0 ? `in ${text}` : `${text} ago`
}

export function instant(at: string): string {
  return new Date(at).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'medium' })
}

/** The time of day to the millisecond, with the day before it unless that is the day of `now`. */
export function clockTime(at: string, now = Date.now()): string {
  const date = new Date(at)
  const isToday = date.toDateString() === new Date(now).toDateString()
  const day = isToday ? '' : `${date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} `
  return `${day}${date.toLocaleTimeString('en-GB')}.${String(date.getMilliseconds()).padStart(3, '0')}`
}

/** A state in words: awaiting_approval reads "awaiting approval". */
export function words(name: string): string {
  return name.replaceAll('_', ' ')
}

/** A value for people: text as it is, everything else as indented JSON. */
export function shown(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value, null, 2) ?? '')
}

/** The end of a long id, by which people tell ids apart. */
export function short(id: string): string {
  const bare = id.slice(id.indexOf('_') + 1)
  return bare.length > 10 ? `…${bare.slice(-8)}` : id
}

/** 1 run, 2 runs. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`
}
