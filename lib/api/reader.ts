import type { AgentUid } from '#lib/core/ids'
import type { EventsPage, StoredEvent } from '#lib/core/pages'
import type { LiveFrame } from '#lib/core/ports'

/** One frame of an event stream: durable with `id`, live without. */
export interface OutFrame {
  id?: number
  type: string
  data: Record<string, unknown>
}

type Kind = 'text' | 'reasoning'

/** What has been shown of one model call whose end has not been shown. */
interface Partial {
  runId: string | null
  epoch: number
  step: number | null
  attempt: number
  afterSeq: number
  shown: Record<Kind, string>
  /** Kinds whose durable end has been shown: their text is final. */
  ended: Set<Kind>
}

/** What the database says beside the events of a page. */
export type Known = Pick<EventsPage, 'epoch' | 'committedSeq' | 'lastSeq'>

/** Events that tell of a model call that was given up: what was shown of it is no part of the conversation. */
const givenUp = new Set(['retry', 'resumed', 'window_moved'])

/**
 * Merges durable events with live deltas into one sequence without gaps or doubles (2-run-contract, invariant 8; 3-http-api, Events).
 * Pure: it is fed pages and frames and answers with what to show. Deltas of an epoch below the highest known, from before the
 * executor's last commit, or that would leave a gap are dropped; the stored text always wins.
 */
export class Merger {
  cursor: number
  private epoch = 0
  private committedSeq = 0
  private partial: Partial | null = null

  constructor(cursor: number) {
    this.cursor = cursor
  }

  /** True when the frame must wait until the events up to `afterSeq` have been shown. */
  isAhead(frame: LiveFrame): boolean {
    return frame.body.type === 'committed' ? frame.body.seq > this.cursor : frame.afterSeq > this.cursor
  }

  /** Before the events of a page: deltas of a lower epoch come from a zombie, those from before the last commit from a call that is over. */
  know({ epoch, committedSeq }: Known): void {
    this.epoch = Math.max(this.epoch, epoch)
    this.committedSeq = Math.max(this.committedSeq, committedSeq)
  }

  /** After the last page: all events up to `lastSeq` have been shown, or are not for this reader. */
  caughtUp({ lastSeq }: Known): OutFrame[] {
    this.cursor = Math.max(this.cursor, lastSeq)
    const { partial } = this
    const isOver = partial !== null && (partial.epoch < this.epoch || partial.afterSeq < this.committedSeq)
    return isOver ? this.reset() : []
  }

  /** What a durable event shows. */
  event(event: StoredEvent): OutFrame[] {
    if (event.seq <= this.cursor) return []
    this.cursor = event.seq
    const { seq, at, channel, type, runId, step, data } = event
    const frame: OutFrame = { id: seq, type, data: { ...data, seq, at, channel, type, runId, step } }
    if (type === 'text_end' || type === 'reasoning_end') return [...this.rest(event, type === 'text_end' ? 'text' : 'reasoning'), frame]
    if (this.partial?.runId !== runId) return [frame]
    if (givenUp.has(type)) return [frame, ...this.reset()]
    if (type === 'step_complete' || type === 'done') return [...this.reset(), frame]
    return [frame]
  }

  /** What a live frame shows. */
  live(frame: LiveFrame): OutFrame[] {
    const { body, runId, epoch, step, attempt, afterSeq } = frame
    if (body.type === 'committed' || epoch < this.epoch || afterSeq < this.committedSeq) return []
    this.epoch = epoch
    if (body.type === 'step_reset') return this.reset()
    const out = this.isOfPartial(frame) ? [] : this.reset()
    this.partial ??= { runId, epoch, step, attempt, afterSeq, shown: { text: '', reasoning: '' }, ended: new Set() }
    const { shown, ended } = this.partial
    const have = shown[body.kind].length
    const more = body.text.slice(Math.max(0, have - body.offset))
    if (body.offset > have || more === '' || ended.has(body.kind)) return out
    if (have === 0) out.push(startFrame(runId, step, body.kind))
    shown[body.kind] += more
    const type = `${body.kind}_delta`
    out.push({ type, data: { channel: 'progress', type, runId, epoch, step, attempt, offset: have, text: more } })
    return out
  }

  private isOfPartial({ runId, epoch, step, attempt }: LiveFrame): boolean {
    const { partial } = this
    return partial !== null && partial.runId === runId && partial.epoch === epoch && partial.step === step && partial.attempt === attempt
  }

  /** Before the whole text: what of it has not been shown, or all of it again where something else was shown. */
  private rest({ runId, step, data }: StoredEvent, kind: Kind): OutFrame[] {
    const text = typeof data['text'] === 'string' ? data['text'] : ''
    const out: OutFrame[] = []
    if (this.partial?.runId !== runId || this.partial.step !== step) out.push(...this.reset())
    else if (!text.startsWith(this.partial.shown[kind])) out.push(...this.resetKind(kind))
    this.partial ??= {
      runId,
      epoch: this.epoch,
      step,
      attempt: 0,
      afterSeq: this.cursor,
      shown: { text: '', reasoning: '' },
      ended: new Set(),
    }
    const { shown, ended } = this.partial
    const from = shown[kind].length
    if (from === 0) out.push(startFrame(runId, step, kind))
    if (from < text.length) out.push(deltaFrame(runId, step, kind, from, text.slice(from)))
    shown[kind] = text
    ended.add(kind)
    return out
  }

  /** Forgets the call in hand; readers are told where something was shown whose end has not come. */
  private reset(): OutFrame[] {
    const { partial } = this
    this.partial = null
    if (partial === null) return []
    const open = (['reasoning', 'text'] as const).some((kind) => partial.shown[kind] !== '' && !partial.ended.has(kind))
    return open ? [resetFrame(partial)] : []
  }

  /** What was shown of one kind is not what was stored: readers drop the step, and get again what of the other kind is final. */
  private resetKind(kind: Kind): OutFrame[] {
    const { partial } = this
    if (partial === null) return []
    const other: Kind = kind === 'text' ? 'reasoning' : 'text'
    partial.shown[kind] = ''
    if (!partial.ended.has(other)) partial.shown[other] = ''
    const { runId, step, shown } = partial
    const again = shown[other] === '' ? [] : [startFrame(runId, step, other), deltaFrame(runId, step, other, 0, shown[other])]
    return [resetFrame(partial), ...again]
  }
}

function startFrame(runId: string | null, step: number | null, kind: Kind): OutFrame {
  return { type: `${kind}_start`, data: { channel: 'progress', type: `${kind}_start`, runId, step } }
}

function deltaFrame(runId: string | null, step: number | null, kind: Kind, offset: number, text: string): OutFrame {
  return { type: `${kind}_delta`, data: { channel: 'progress', type: `${kind}_delta`, runId, step, offset, text } }
}

function resetFrame({ runId, step }: Partial): OutFrame {
  return { type: 'step_reset', data: { channel: 'progress', type: 'step_reset', runId, step } }
}

/** What a stream shows. */
export interface Filter {
  agentUid: AgentUid
  runId: string | null
  channels: readonly string[] | null
  types: readonly string[] | null
  /** Instants: what happened before `from`, or not before `to`, is not shown. */
  from?: string | undefined
  to?: string | undefined
}

/** True when the frame passes the filter; `at`, in milliseconds since the epoch, is when what it tells of happened. */
export function passes(frame: OutFrame, filter: Filter, at: number): boolean {
  if (filter.from !== undefined && at < Date.parse(filter.from)) return false
  if (filter.to !== undefined && at >= Date.parse(filter.to)) return false
  if (filter.types !== null && !filter.types.includes(frame.type)) return false
  return filter.channels === null || filter.channels.includes(String(frame.data['channel']))
}
