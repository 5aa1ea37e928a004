import parse from 'parse-prometheus-text-format'
import { z } from 'zod'
import type { World } from '#tests/world'

const families = z.array(
  z.object({
    name: z.string(),
    help: z.string(),
    type: z.enum(['COUNTER', 'GAUGE', 'HISTOGRAM', 'UNTYPED']),
    metrics: z.array(z.object({ value: z.string().optional(), labels: z.record(z.string(), z.string()).optional() })),
  }),
)
type Families = z.output<typeof families>

/** What a scrape says, as other people's parser reads it. */
export interface Scrape {
  text: string
  /** Name, help and type of each family. */
  families: Families
  /** Every sample under its own name: of histograms `_bucket`, `_sum` and `_count`. */
  samples: Families
  /** The sum of the samples of that name whose labels are these. */
  of(name: string, labels?: Record<string, string>): number
}

/** Reads a text in Prometheus's format. Throws for a line that is none. */
export function read(text: string): Scrape {
  const parsed = families.parse(parse(text))
  // The parser loses the labels of histograms when it puts them together: without their types it hands out each sample as it stands.
  const plain = text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
  const samples = families.parse(parse(plain))
  return {
    text,
    families: parsed,
    samples,
    of: (name, labels = {}) =>
      samples
        .filter((family) => family.name === name)
        .flatMap((family) => family.metrics)
        .filter((metric) => Object.entries(labels).every(([label, wanted]) => metric.labels?.[label] === wanted))
        .reduce((sum, metric) => sum + Number(metric.value), 0),
  }
}

/** Scrapes a server as Prometheus does. Throws when the answer is no metrics. */
export async function scrape(
  world: World,
  { server = 0, headers = {}, path = '/api/metrics' }: { server?: number; headers?: Record<string, string>; path?: string } = {},
): Promise<Scrape> {
  const response = await fetch(world.base(server) + path, { headers, signal: AbortSignal.timeout(20_000) })
  const text = await response.text()
  if (response.status !== 200) throw new Error(`${path}: ${response.status} ${text}`)
  return read(text)
}
