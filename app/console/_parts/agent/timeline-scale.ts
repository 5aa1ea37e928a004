import type { Timeline } from '#app/console/_parts/agent/timeline-model'

/** A stretch in which nobody worked, drawn short. Times in milliseconds since the epoch, places in percent. */
export interface Pause {
  from: number
  to: number
  left: number
  width: number
}

/** From instants to places on the axis, in percent. */
export interface Scale {
  place: (at: number) => number
  pauses: readonly Pause[]
}

/** A pause longer than this share of the working time is drawn as long as this share. */
const longestPauseShare = 0.12

/** An axis on which long pauses (a person is asked, a retry waits) take little room, so that the work between them can be seen. */
export function scaleOf({ from, to, slices }: Pick<Timeline, 'from' | 'to' | 'slices'>): Scale {
  const gaps: { from: number; to: number }[] = []
  let edge = from
  for (const slice of slices) {
    if (slice.from > edge) gaps.push({ from: edge, to: slice.from })
    edge = Math.max(edge, slice.to ?? to)
  }
  if (to > edge) gaps.push({ from: edge, to })
  const idle = gaps.reduce((sum, gap) => sum + gap.to - gap.from, 0)
  const most = Math.max(1, (to - from - idle) * longestPauseShare)
  const drawn = gaps.map((gap) => ({ ...gap, drawn: Math.min(gap.to - gap.from, most) }))
  const total = Math.max(1, to - from - drawn.reduce((sum, gap) => sum + (gap.to - gap.from) - gap.drawn, 0))
  const place = (at: number): number => {
    const instant = Math.min(Math.max(at, from), to)
    let cut = 0
    for (const gap of drawn) {
      if (instant <= gap.from) break
      const part = (Math.min(instant, gap.to) - gap.from) / (gap.to - gap.from)
      cut += part * (gap.to - gap.from - gap.drawn)
    }
    return ((instant - from - cut) / total) * 100
  }
  const pauses = drawn
    .filter((gap) => gap.to - gap.from > gap.drawn)
    .map((gap) => ({ from: gap.from, to: gap.to, left: place(gap.from), width: place(gap.to) - place(gap.from) }))
  return { place, pauses }
}
