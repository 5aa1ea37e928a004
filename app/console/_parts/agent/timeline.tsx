'use client'

import type { CSSProperties } from 'react'
import { timelineOf, type SliceBar, type TimelineEvent, type WorkBar } from '#app/console/_parts/agent/timeline-model'
import { scaleOf } from '#app/console/_parts/agent/timeline-scale'
import { useNow } from '#app/console/_parts/bits.tsx'
import { clockTime, count, duration, money, words } from '#app/console/_parts/format'

const hues = 5
const ends: Readonly<Record<string, string>> = {
  slice_deadline: 'handed on at its deadline',
  hard_limit: 'handed on at the hard limit',
  shutdown: 'handed on at shutdown',
  once_needs_room: 'handed on: a call needed more time',
  paused: 'paused',
  crashed: 'died',
}

function howLong(from: number, to: number | null, now: number): string {
  return duration((to ?? now) - from)
}

function sliceTitle(bar: SliceBar, now: number): string {
  const end = bar.end === null ? 'at work' : (ends[bar.end] ?? words(bar.end))
  return `Executor ${bar.slice}: ${howLong(bar.from, bar.to, now)}, ${end}`
}

function barTitle(bar: WorkBar, now: number): string {
  const cost = bar.costMicros === null ? '' : `, ${money(bar.costMicros)}`
  return `Step ${bar.step}, ${bar.label}: ${howLong(bar.from, bar.to, now)}, ${words(bar.state)}${cost}`
}

/** A run on an axis of time: who worked on it, what was done, and what happened. */
export function RunTimeline({ events, endedAt }: { events: readonly TimelineEvent[]; endedAt: string | null }) {
  const now = useNow(endedAt === null ? 500 : 60_000)
  const timeline = timelineOf(events, now, endedAt === null ? null : Date.parse(endedAt))
  const scale = scaleOf(timeline)
  const span = (from: number, to: number | null): CSSProperties => {
    const left = scale.place(from)
    return { left: `${left}%`, width: `${Math.max(0.6, scale.place(to ?? timeline.to) - left)}%` }
  }
  if (events.length === 0) return <p className="muted pad">Nothing has happened yet: the run waits for its turn.</p>

  return (
    <div className="timeline">
      <div className="lanes" role="img" aria-label={summaryOf(timeline.slices, timeline.bars)}>
        <div className="lane head">
          <span className="lane-name">Executors</span>
          <div className="track tall">
            {scale.pauses.map((pause) => (
              <span
                key={pause.from}
                className="pause"
                style={{ left: `${pause.left}%`, width: `${pause.width}%` }}
                title={`Nobody works for ${duration(pause.to - pause.from)}`}
              />
            ))}
            {timeline.slices.map((bar) => (
              <span
                key={bar.slice}
                className={`slice hue-${(bar.slice - 1) % hues} ${bar.to === null ? 'going' : ''} ${bar.end === 'crashed' ? 'died' : ''}`}
                style={span(bar.from, bar.to)}
                title={sliceTitle(bar, now)}
              >
                {bar.slice}
              </span>
            ))}
          </div>
        </div>
        {timeline.bars.map((bar) => (
          <div className="lane" key={bar.key}>
            <span className="lane-name" title={barTitle(bar, now)}>
              <small className="muted">{bar.step}</small> {bar.kind === 'model' ? 'Model' : <code>{bar.label}</code>}
            </span>
            <div className="track">
              <span
                className={`bar ${bar.kind} hue-${(bar.slice - 1) % hues} ${bar.to === null ? 'going' : ''} ${['failed', 'denied', 'sealed'].includes(bar.state) ? 'broken' : ''}`}
                style={span(bar.from, bar.to)}
                title={barTitle(bar, now)}
              />
            </div>
            <span className="lane-note num muted">
              {bar.costMicros === null ? howLong(bar.from, bar.to, now) : `${howLong(bar.from, bar.to, now)} · ${money(bar.costMicros)}`}
            </span>
          </div>
        ))}
        <div className="axis muted">
          <span>{clockTime(new Date(timeline.from).toISOString())}</span>
          <span>{duration(timeline.to - timeline.from)}</span>
        </div>
      </div>
      <ol className="marks" aria-label="What happened">
        {timeline.slices.length > 0 && timeline.slices[0] !== undefined && (
          <li>
            <time className="mono muted">{clockTime(new Date(timeline.slices[0].from).toISOString())}</time>
            <span>Executor 1 began</span>
          </li>
        )}
        {timeline.marks.map((mark) => (
          <li key={mark.seq} className={mark.tone}>
            <time className="mono muted" dateTime={new Date(mark.at).toISOString()}>
              {clockTime(new Date(mark.at).toISOString())}
            </time>
            <span>{mark.text}</span>
          </li>
        ))}
      </ol>
    </div>
  )
}

function summaryOf(slices: readonly SliceBar[], bars: readonly WorkBar[]): string {
  const tools = bars.filter((bar) => bar.kind === 'tool').length
  return `${count(slices.length)} executors, ${count(bars.length - tools)} model calls, ${count(tools)} tool calls`
}
