import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'

/*
 * `node plot.ts RESULTS.json FOLDER`: draws the two pictures of docs/benchmarks.md. Times stand on a logarithmic scale.
 */
const [file = '', folder = ''] = process.argv.slice(2)

interface Summary {
  p50: number
  p95: number
}

interface Results {
  times: { kind: string; callers: number; ms: Summary }[]
  peers: { compared: { id: string; label: string; turns: { size: number; ms: Summary }[] }[]; http: Summary[] } | null
}

const results = JSON.parse(readFileSync(file, 'utf8')) as Results

const look = {
  background: 'white',
  font: 'system-ui, sans-serif',
  axis: {
    labelFontSize: 12,
    titleFontSize: 13,
    titleFontWeight: 'normal',
    gridColor: '#e6e6e6',
    domainColor: '#888',
    tickColor: '#888',
    labelColor: '#333',
    titleColor: '#333',
  },
  legend: { labelFontSize: 12, labelLimit: 320, symbolStrokeWidth: 3, symbolOpacity: 1, symbolSize: 90, rowPadding: 6, labelColor: '#333' },
  title: { fontSize: 15, anchor: 'start', fontWeight: 600, subtitleFontSize: 12, subtitleColor: '#555', offset: 14 },
  view: { stroke: null },
} as const

/** Baton stands out; the floor is grey. */
const colours: Record<string, string> = {
  'Baton, in process': '#c2410c',
  'Baton over HTTP': '#f59e0b',
  'floor: rows, no guarantees': '#9ca3af',
  'Mastra, PostgresStore': '#0f766e',
  'JSONB document (KODE guide)': '#7c3aed',
  'LangGraph JS, PostgresSaver': '#1d4ed8',
}

interface Point {
  series: string
  x: string
  p50: number
  p95: number
}

async function draw(name: string, spec: TopLevelSpec): Promise<void> {
  const view = new View(parse(compile(spec).spec), { renderer: 'none' })
  writeFileSync(join(folder, name), `${await view.toSVG()}\n`)
  view.finalize()
}

/** Where the axis of milliseconds has lines. */
const ticks = [1, 2, 5].flatMap((digit) => [1, 10, 100, 1_000, 10_000].map((power) => digit * power)).toSorted((a, b) => a - b)

function lines(options: {
  title: string
  subtitle: string[]
  points: Point[]
  xTitle: string
  order: string[]
  series: string[]
  range: string[]
}): TopLevelSpec {
  const colour = {
    field: 'series',
    type: 'nominal' as const,
    scale: { domain: options.series, range: options.range },
    legend: { title: null, orient: 'right' as const },
  }
  const x = {
    field: 'x',
    type: 'ordinal' as const,
    sort: options.order,
    axis: { title: options.xTitle, labelAngle: 0 },
    scale: { padding: 0.35 },
  }
  const y = (field: string, title: string) => ({
    field,
    type: 'quantitative' as const,
    scale: { type: 'log' as const, nice: true },
    axis: { title, format: ',', values: ticks },
  })
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    width: 520,
    height: 340,
    padding: 16,
    config: look,
    title: { text: options.title, subtitle: options.subtitle },
    data: { values: options.points },
    layer: [
      {
        mark: { type: 'rule', strokeWidth: 1.5, opacity: 0.35 },
        encoding: { x, y: y('p50', 'milliseconds (logarithmic)'), y2: { field: 'p95' }, color: colour },
      },
      { mark: { type: 'line', strokeWidth: 2.5 }, encoding: { x, y: y('p50', 'milliseconds (logarithmic)'), color: colour } },
      {
        mark: { type: 'point', filled: true, size: 70, opacity: 1 },
        encoding: { x, y: y('p50', 'milliseconds (logarithmic)'), color: colour },
      },
    ],
  }
}

const kinds = ['floor, direct driver', 'floor, over Supabase', 'turn without tools', 'turn with one tool', 'accept (respond-async)']
await draw(
  'benchmarks-callers.svg',
  lines({
    title: 'A request by number of callers',
    subtitle: ['p50 as a point, p95 at the end of the line above it; two cores carry callers, server and Postgres'],
    xTitle: 'callers at once',
    order: ['1', '16', '64'],
    series: kinds,
    range: ['#d1d5db', '#6b7280', '#c2410c', '#f59e0b', '#0f766e'],
    points: results.times.map(({ kind, callers, ms }) => ({ series: kind, x: String(callers), p50: ms.p50, p95: ms.p95 })),
  }),
)

if (results.peers !== null) {
  const names: Record<string, string> = {
    rows: 'floor: rows, no guarantees',
    baton: 'Baton, in process',
    mastra: 'Mastra, PostgresStore',
    jsonb: 'JSONB document (KODE guide)',
    langgraph: 'LangGraph JS, PostgresSaver',
  }
  const sizes = results.peers.compared[0]?.turns.map(({ size }) => size.toLocaleString('en-US')) ?? []
  const points = results.peers.compared.flatMap(({ id, label, turns }) =>
    turns.map(({ size, ms }): Point => ({ series: names[id] ?? label, x: size.toLocaleString('en-US'), p50: ms.p50, p95: ms.p95 })),
  )
  points.push(...results.peers.http.map((ms, at): Point => ({ series: 'Baton over HTTP', x: sizes[at] ?? '', p50: ms.p50, p95: ms.p95 })))
  const series = Object.keys(colours)
  await draw(
    'benchmarks-history.svg',
    lines({
      title: 'Overhead of a turn with one tool call',
      subtitle: ['by length of the conversation; the model answers at once; p50 as a point, p95 at the end of the line'],
      xTitle: 'earlier messages of 1 KB',
      order: sizes,
      series,
      range: series.map((name) => colours[name] ?? '#000'),
      points,
    }),
  )
}
