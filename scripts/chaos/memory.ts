import { readFile } from 'node:fs/promises'

/** The memory of one process from its start to its end. */
export interface Lifetime {
  part: string
  pid: number
  /** [seconds since the soak began, megabytes of its own, messages answered so far] */
  samples: [number, number, number][]
}

/** Megabytes of a process that are its own (pages of files can be given back); null where it is gone or the system has no /proc. */
async function ownMb(pid: number): Promise<number | null> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '') // it has ended
  const kilobytes = /^RssAnon:\s+(\d+) kB/m.exec(text)?.[1]
  return kilobytes === undefined ? null : Number(kilobytes) / 1024
}

/** Adds a sample of each part to its lifetime; a new process id begins a new one. */
export async function sampleMemory(
  lifetimes: Lifetime[],
  parts: Readonly<Record<string, number | null>>,
  at: number,
  messages: number,
): Promise<void> {
  for (const [part, pid] of Object.entries(parts)) {
    const mb = pid === null ? null : await ownMb(pid)
    if (pid === null || mb === null) continue
    let lifetime = lifetimes.findLast((one) => one.part === part)
    if (lifetime?.pid !== pid) lifetimes.push((lifetime = { part, pid, samples: [] }))
    lifetime.samples.push([at, mb, messages])
  }
}

/** Least squares: by how much y rises for one x; null under three points. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number | null {
  if (points.length < 3) return null
  const mean = (of: (point: readonly [number, number]) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const x = mean(([value]) => value)
  const y = mean(([, value]) => value)
  const spread = points.reduce((sum, [value]) => sum + (value - x) ** 2, 0)
  return spread === 0 ? null : points.reduce((sum, [a, b]) => sum + (a - x) * (b - y), 0) / spread
}

/** What one lifetime says: megabytes after the first quarter and at the end, the most, and the slope of the last three quarters. */
export function lifetimeFacts({ part, pid, samples }: Lifetime): Record<string, string | number | null> {
  const warm = samples.slice(Math.floor(samples.length / 4))
  const rounded = (value: number | null | undefined): number | null => (value == null ? null : Math.round(value * 10) / 10)
  const perMessage = slope(warm.map(([, mb, messages]) => [messages, mb]))
  return {
    part,
    pid,
    seconds: rounded((samples.at(-1)?.[0] ?? 0) - (samples[0]?.[0] ?? 0)),
    messages: (samples.at(-1)?.[2] ?? 0) - (samples[0]?.[2] ?? 0),
    warmMb: rounded(warm[0]?.[1]),
    endMb: rounded(samples.at(-1)?.[1]),
    mostMb: rounded(Math.max(...samples.map(([, mb]) => mb))),
    mbPerThousandMessages: rounded(perMessage === null ? null : perMessage * 1_000),
  }
}
