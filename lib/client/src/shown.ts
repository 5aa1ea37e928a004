import type { BatonEvent, Blocked, StepReset, TextDelta, TextEnd } from '#client/events'

type Kind = 'text' | 'reasoning'

/** What has been shown of one model call. */
interface Call {
  runId: string | null
  step: number | null
  epoch: number | undefined
  attempt: number | undefined
  shown: Record<Kind, string>
}

/** They tell that a model call was given up: what was shown of it is no part of the conversation. */
const givenUp: ReadonlySet<string> = new Set(['retry', 'resumed', 'window_moved'])

/**
 * Makes one story of a stream that was read over several connections. Each connection begins with the text so far: what has been shown is
 * dropped by its offset, and where the step was repeated meanwhile, a `step_reset` takes back what was shown.
 */
export class Shown {
  /** The number of the last durable event. */
  seq = -1
  /** The stream tells again, from its beginning, what has been shown: to who may send and not read. Texts without a number are as old. */
  private behind = false
  private call: Call | null = null
  /** What the reader has been told of the paused run. */
  private ahead = ''
  /** The stored texts of the step in hand: they may be told again after a reset, and are never void. */
  private stored: { step: number | null; texts: Partial<Record<Kind, string>> } = { step: null, texts: {} }

  /** What the next event shows: nothing, itself, or more. */
  take(event: BatonEvent): BatonEvent[] {
    if (this.behind && event.seq === undefined) return []
    switch (event.type) {
      case 'text_start':
      case 'reasoning_start':
        return this.start(event)
      case 'text_delta':
      case 'reasoning_delta':
        return this.delta(event)
      case 'step_reset':
        return this.reset()
      case 'blocked':
        return this.blocked(event)
      default:
        return this.durable(event)
    }
  }

  /** It is told on each connection, and is news once. */
  private blocked(event: Blocked): BatonEvent[] {
    const { ahead } = this
    // The same run may go on and be paused anew: then it asks for something else.
    this.ahead = JSON.stringify(event)
    return ahead === this.ahead ? [] : [event]
  }

  private durable(event: Exclude<BatonEvent, { seq?: undefined }>): BatonEvent[] {
    this.behind = event.seq < this.seq
    if (event.seq <= this.seq) return []
    this.seq = event.seq
    if (event.type === 'text_end' || event.type === 'reasoning_end') return this.end(event)
    if (this.call?.runId !== event.runId) return [event]
    if (givenUp.has(event.type)) return [event, ...this.reset()]
    if (event.type === 'step_complete' || event.type === 'done') {
      const before = this.reset()
      this.stored = { step: null, texts: {} }
      return [...before, event]
    }
    return [event]
  }

  /** The stored text wins: what is missing comes as a last piece, what is wrong is taken back. */
  private end(event: TextEnd): BatonEvent[] {
    const { runId, step, text } = event
    const kind: Kind = event.type === 'text_end' ? 'text' : 'reasoning'
    const out: BatonEvent[] = []
    if (this.call !== null && !event.text.startsWith(this.shownOf(event, kind))) out.push(...this.reset())
    const have = this.shownOf(event, kind).length
    if (have < text.length) {
      const piece: TextDelta = { type: `${kind}_delta`, channel: 'progress', runId, step, offset: have, text: text.slice(have) }
      out.push(...this.start({ type: `${kind}_start`, channel: 'progress', runId, step }), ...this.delta(piece))
    }
    if (this.stored.step !== step) this.stored = { step, texts: {} }
    this.stored.texts[kind] = text
    return [...out, event]
  }

  private storedOf(step: number | null, kind: Kind): string | undefined {
    return this.stored.step === step ? this.stored.texts[kind] : undefined
  }

  private shownOf({ runId, step }: Pick<TextEnd, 'runId' | 'step'>, kind: Kind): string {
    return this.call?.runId === runId && this.call.step === step ? this.call.shown[kind] : ''
  }

  /** A start is shown with its first piece: a connection that begins again says it again. */
  private start({ runId, step }: Pick<TextEnd, 'runId' | 'step'> & { type: string; channel: 'progress' }): BatonEvent[] {
    return this.call !== null && (this.call.runId !== runId || this.call.step !== step) ? this.reset() : []
  }

  private delta(event: TextDelta): BatonEvent[] {
    const { runId, step, epoch, attempt, offset, text } = event
    const kind: Kind = event.type === 'text_delta' ? 'text' : 'reasoning'
    const out: BatonEvent[] = this.isOfCall(event, kind) ? [] : this.reset()
    this.call ??= { runId, step, epoch, attempt, shown: { text: '', reasoning: '' } }
    this.call.epoch ??= epoch
    this.call.attempt ??= attempt
    const { shown } = this.call
    const have = shown[kind].length
    const more = text.slice(Math.max(0, have - offset))
    if (offset > have || more === '' || (have > 0 && shown[kind] === this.storedOf(step, kind))) return out
    if (have === 0) out.push({ type: `${kind}_start`, channel: 'progress', runId, step })
    shown[kind] += more
    out.push({ ...event, offset: have, text: more })
    return out
  }

  /** True where the piece continues what was shown: the same call of the model, and the same text where they overlap. */
  private isOfCall({ runId, step, epoch, attempt, offset, text }: TextDelta, kind: Kind): boolean {
    const { call } = this
    if (call === null) return true
    if (call.runId !== runId || call.step !== step) return false
    if (epoch !== undefined && call.epoch !== undefined && epoch !== call.epoch) return false
    if (attempt !== undefined && call.attempt !== undefined && attempt !== call.attempt) return false
    const overlap = call.shown[kind].slice(offset, offset + text.length)
    return text.startsWith(overlap)
  }

  /** Forgets the call in hand; says so where something was shown whose end has not come. */
  private reset(): StepReset[] {
    const { call } = this
    this.call = null
    if (call === null) return []
    const open = (['text', 'reasoning'] as const).some(
      (kind) => call.shown[kind] !== '' && call.shown[kind] !== this.storedOf(call.step, kind),
    )
    if (!open) return []
    return [{ type: 'step_reset', channel: 'progress', runId: call.runId, step: call.step }]
  }
}
