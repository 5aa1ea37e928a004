import type { AgentUid } from '#lib/core/ids'
import type { StoredEvent } from '#lib/core/pages'
import type { LiveFrame } from '#lib/core/ports'

/** One frame of an event stream: durable with `id`, live without. */
export interface OutFrame {
  id?: number
  type: string
  data: Record<string, unknown>
}

interface Partial {
  runId: string
  epoch: number
  step: number
  attempt: number
  /** What has been shown so far. */
  shown: { text: string; reasoning: string }
}

type Kind = 'text' | 'reasoning'

/**
 * Merges durable events with live deltas into one sequence without gaps or doubles (2-run-contract, invariant 8; 3-http-api, Events).
 * Pure: it is fed pages and frames and answers with what to show. Deltas of an epoch below the highest known, of a step that has
 * ended, or that would leave a gap are dropped; the stored text always wins.
 */
export class Merger {
  cursor: number
  private epoch = 0
  private partial: Partial | null = null

  constructor(cursor: number) {
    this.cursor = cursor
  }

  /** True when the frame must wait until the events up to `afterSeq` have been shown. */
  isAhead(frame: LiveFrame): boolean {
    return frame.body.type === 'committed' ? frame.body.seq > this.cursor : frame.afterSeq > this.cursor
  }

  /** The highest lease epoch that the database knows: deltas below it come from a zombie. */
  knowEpoch(epoch: number): void {
    this.epoch = Math.max(this.epoch, epoch)
  }

  event(event: StoredEvent): OutFrame[] {
    if (event.seq <= this.cursor) return []
    this.cursor = event.seq
    const { seq, at, channel, type, runId, step, data } = event
    const frame: OutFrame = { id: seq, type, data: { seq, at, channel, type, runId, step, ...data } }
    if (type === 'text_end' || type === 'reasoning_end') return [...this.rest(event, type === 'text_end' ? 'text' : 'reasoning'), frame]
    if (type === 'step_complete' || type === 'done') this.partial = null
    if ((type === 'retry' || type === 'resumed') && this.partial !== null) return [frame, ...this.reset()]
    return [frame]
  }

  live(frame: LiveFrame): OutFrame[] {
    const { body } = frame
    if (body.type === 'committed' || frame.epoch < this.epoch || frame.afterSeq < this.cursor) return []
    this.epoch = frame.epoch
    if (body.type === 'step_reset') return this.partial === null ? [] : this.reset()
    const out: OutFrame[] = []
    const same = this.partial !== null && this.partial.runId === frame.runId && this.partial.epoch === frame.epoch
    if (!same || this.partial?.step !== frame.step || this.partial.attempt !== frame.attempt) {
      if (this.partial !== null) out.push(...this.reset())
      this.partial = { runId: frame.runId, epoch: frame.epoch, step: frame.step, attempt: frame.attempt, shown: { text: '', reasoning: '' } }
    }
    const shown = this.partial?.shown ?? { text: '', reasoning: '' }
    const have = shown[body.kind].length
    const more = body.text.slice(Math.max(0, have - body.offset))
    if (body.offset > have || more === '') return out
    if (have === 0) out.push(this.start(frame.runId, frame.step, body.kind))
    shown[body.kind] += more
    const { runId, epoch, step, attempt } = frame
    out.push({ type: `${body.kind}_delta`, data: { channel: 'progress', type: `${body.kind}_delta`, runId, epoch, step, attempt, offset: have, text: more } })
    return out
  }

  /** Before the whole text: what of it has not been shown, or all of it again where something else was shown. */
  private rest(event: StoredEvent, kind: Kind): OutFrame[] {
    const text = typeof event.data['text'] === 'string' ? event.data['text'] : ''
    const { runId, step } = event
    const partial = this.partial
    const shown = partial !== null && partial.runId === runId && partial.step === step ? partial.shown[kind] : ''
    const out: OutFrame[] = []
    let from = shown.length
    if (!text.startsWith(shown)) {
      out.push(...this.reset())
      from = 0
    } else if (partial !== null) partial.shown[kind] = text
    if (from === 0) out.push(this.start(runId, step, kind))
    if (from < text.length) {
      const data = { channel: 'progress', type: `${kind}_delta`, runId, step, offset: from, text: text.slice(from) }
      out.push({ type: `${kind}_delta`, data })
    }
    return out
  }

  private start(runId: string | null, step: number | null, kind: Kind): OutFrame {
    return { type: `${kind}_start`, data: { channel: 'progress', type: `${kind}_start`, runId, step } }
  }

  private reset(): OutFrame[] {
    const partial = this.partial
    this.partial = null
    if (partial === null || (partial.shown.text === '' && partial.shown.reasoning === '')) return []
    return [{ type: 'step_reset', data: { channel: 'progress', type: 'step_reset', runId: partial.runId, step: partial.step } }]
  }
}

/** What a stream shows. */
export interface Filter {
  agentUid: AgentUid
  runId: string | null
  channels: readonly string[] | null
  types: readonly string[] | null
}

/** True when the frame passes the filter. */
export function passes(frame: OutFrame, filter: Filter): boolean {
  if (filter.types !== null && !filter.types.includes(frame.type)) return false
  return filter.channels === null || filter.channels.includes(String(frame.data['channel']))
}
