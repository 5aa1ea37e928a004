'use client'

import { useEffect, useRef, useState } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { money } from '#app/console/_parts/format'
import type { Spent } from '#app/console/_parts/usage/usage-page.tsx'

const height = 210
const dayS = 86_400

/** The colours of the theme, as the canvas needs them: resolved. */
function colours(box: HTMLElement): { text: string; line: string; settled: string; estimated: string } {
  const probe = document.createElement('span')
  box.append(probe)
  const of = (name: string): string => {
    probe.style.color = `var(${name})`
    return getComputedStyle(probe).color
  }
  const found = { text: of('--muted'), line: of('--line'), settled: of('--accent-fill'), estimated: of('--warn') }
  probe.remove()
  return found
}

function dayName(stamp: number): string {
  return new Date(stamp * 1_000).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' })
}

/** Cost by UTC day as bars: the estimated part stands above the settled one. The same numbers stand in a table for whoever reads. */
export default function DayChart({ rows, from, days }: { rows: readonly Spent[]; from: string; days: number }) {
  const box = useRef<HTMLDivElement>(null)
  const [theme, setTheme] = useState(0)

  useEffect(() => {
    const changed = (): void => setTheme((count) => count + 1)
    const watcher = new MutationObserver(changed)
    watcher.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] })
    const dark = matchMedia('(prefers-color-scheme: dark)')
    dark.addEventListener('change', changed)
    return () => {
      watcher.disconnect()
      dark.removeEventListener('change', changed)
    }
  }, [])

  useEffect(() => {
    const element = box.current
    if (element === null) return
    const start = Date.parse(from) / 1_000
    const known = new Map(rows.map((row) => [String(row['day']).slice(0, 10), row]))
    const stamps = Array.from({ length: days }, (_, day) => start + day * dayS)
    const of = (stamp: number): Spent | undefined => known.get(new Date(stamp * 1_000).toISOString().slice(0, 10))
    const dollars = (micros: number | undefined): number => (micros ?? 0) / 1_000_000
    const total = stamps.map((stamp) => dollars(of(stamp)?.costMicros))
    const settled = stamps.map((stamp) => dollars(of(stamp)?.costMicros) - dollars(of(stamp)?.estimatedMicros))
    const colour = colours(element)
    const bars = uPlot.paths.bars?.({ size: [0.7, 40] })
    const axis = { stroke: colour.text, grid: { stroke: colour.line, width: 1 }, ticks: { show: false }, font: '11px system-ui' }
    const shape = bars === undefined ? {} : { paths: bars }
    const chart = new uPlot(
      {
        width: element.clientWidth,
        height,
        tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1_000), 'Etc/UTC'),
        cursor: { show: false },
        legend: { show: false },
        scales: {
          x: { range: [start - dayS * 0.6, start + (days - 0.4) * dayS] },
          y: { range: (_, __, most) => [0, Math.max(most * 1.1, 0.000_01)] },
        },
        axes: [
          {
            ...axis,
            grid: { show: false },
            size: 30,
            space: 64,
            incrs: [dayS, 2 * dayS, 7 * dayS, 14 * dayS],
            values: (_, ticks) => ticks.map(dayName),
          },
          { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => money(tick * 1_000_000)) },
        ],
        series: [
          {},
          { label: 'Estimated', fill: colour.estimated, width: 0, points: { show: false }, ...shape },
          { label: 'Settled', fill: colour.settled, width: 0, points: { show: false }, ...shape },
        ],
      },
      [stamps, total, settled],
      element,
    )
    const sized = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height }))
    sized.observe(element)
    return () => {
      sized.disconnect()
      chart.destroy()
    }
  }, [rows, from, days, theme])

  return (
    <figure className="chart">
      <div ref={box} role="img" aria-label={`Cost by day over ${days} days; the numbers follow in a table`} />
      <details>
        <summary>As a table</summary>
        <div className="table-wrap">
          <table>
            <thead>
              <tr>
                <th>Day (UTC)</th>
                <th className="num">Cost</th>
                <th className="num">Of it estimated</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <tr key={String(row['day'])}>
                  <td>{String(row['day']).slice(0, 10)}</td>
                  <td className="num">{money(row.costMicros)}</td>
                  <td className="num">{money(row.estimatedMicros)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  )
}
