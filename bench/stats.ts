/** The value below which `part` (0 to 1) of the values lie; 0 for no values. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** What is said of many measurements of one thing. */
export interface Summary {
  n: number
  p50: number
  p95: number
}

export const summary = (values: readonly number[]): Summary => ({
  n: values.length,
  p50: median(values),
  p95: quantile(values, 0.95),
})

/** A number with as many digits as it deserves: 0.42, 4.2, 42, 4,200. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return ''
  const size = Math.abs(value)
  const digits = size === 0 || size >= 100 ? 0 : size >= 10 ? 1 : 2
  return value.toLocaleString('en-US', { maximumFractionDigits: digits, minimumFractionDigits: size < 1 && size > 0 ? digits : 0 })
}

/** A table in Markdown; columns whose cells are all numbers stand to the right. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  const numeric = heads.map((_, column) => rows.every((row) => /^[\d,.\s/+-]*$/.test(row[column] ?? '')))
  return [line(heads), `|${numeric.map((right) => (right ? '---:' : '---')).join('|')}|`, ...rows.map(line)].join('\n')
}
