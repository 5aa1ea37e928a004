import type { UIMessageChunk } from 'ai'
import type { OutFrame } from '#lib/api/reader'
import { callChunks, endChunks, errorTextOf, finishOfPause } from '#lib/api/chat-parts'
import { piecesFrom } from '#lib/api/chat-pieces'

type Kind = 'text' | 'reasoning'

/** The text or the reasoning of a step as it is shown: how much of it is known, and how much has been sent in whole pieces. */
interface Part {
  id: string
  text: string
  sent: number
}

/** One model call and what its tool calls came to: `start-step` is always its first chunk, so `reset-step` undoes exactly it. */
interface Step {
  text: Part | null
  reasoning: Part | null
  /** The model has answered: its text is final. */
  complete: boolean
}

/** Events that tell of a model call that was given up, as far as readers may have seen something of it. */
export function tellsOfGivenUp({ type, data }: Pick<OutFrame, 'type' | 'data'>): boolean {
  if (type === 'retry') return data['gate'] !== true
  if (type === 'resumed') return data['strategy'] === 'crash'
  if (type === 'handed_off') return data['reason'] === 'hard_limit' || data['reason'] === 'shutdown'
  return type === 'window_moved'
}

/**
 * Frames of one run as chunks of the AI SDK's UI message stream. Pure. What it makes of stored events is the same each time, and the same
 * as what was made of them live, up to the order inside one step: pieces are cut by the text, and what may come beside a text waits for
 * its end. So a position is a count of chunks (3-http-api, Dialects over the same log).
 */
export class ChatChunks {
  private step: Step | null = null
  private parts = 0
  private readonly calls = new Set<string>()
  private readonly asked = new Set<string>()
  private beside: UIMessageChunk[] = []
  private readonly runId: string
  private goesOn: boolean

  /** `goesOn`: the stream begins after a pause of the run. */
  constructor(runId: string, goesOn = false) {
    this.runId = runId
    this.goesOn = goesOn
  }

  /** What of the step in hand has been sent: `complete` when its text is final, and only `finish-step` is still to come. */
  stands(): 'none' | 'begun' | 'complete' {
    if (this.step === null) return 'none'
    return this.step.complete ? 'complete' : 'begun'
  }

  /** The first chunk of a stream. */
  start(): UIMessageChunk[] {
    return [{ type: 'start', messageId: this.runId, messageMetadata: { runId: this.runId } }]
  }

  /** The last chunks of a stream that ends because nothing runs until somebody answers. */
  pause(state: string): UIMessageChunk[] {
    return [...this.flush(), ...this.closeStep(), finishOfPause(this.runId, state)]
  }

  /** What a frame shows. */
  frame(frame: OutFrame): UIMessageChunk[] {
    const { type, data } = frame
    switch (type) {
      case 'text_start':
      case 'reasoning_start':
        return this.begin(type === 'text_start' ? 'text' : 'reasoning')
      case 'text_delta':
      case 'reasoning_delta':
        return this.more(type === 'text_delta' ? 'text' : 'reasoning', data)
      case 'text_end':
      case 'reasoning_end':
        return this.rest(type === 'text_end' ? 'text' : 'reasoning')
      case 'step_reset':
        return this.reset()
      case 'step_complete':
        return data['kind'] === 'model' ? [...this.openStep(), ...this.complete(), ...this.flush()] : this.flush()
      case 'tool_start':
      case 'tool_end':
      case 'approval_required':
      case 'approval_decided':
        return callChunks(type, data, { calls: this.calls, asked: this.asked, all: this.goesOn })
      case 'handed_off':
        return [{ type: 'data-handoff', id: 'handoff', data: { runId: this.runId, reason: data['reason'], slice: data['slice'] } }]
      case 'budget':
        // It may be written by somebody else while a text runs: its place is the end of the step.
        this.beside.push({ type: 'data-budget', id: 'budget', data: besides(data) })
        return []
      case 'blocked':
        return [{ type: 'data-blocked', id: 'blocked', data: besides(data) }]
      case 'state_changed':
        return this.step?.complete === false ? [] : this.flush()
      case 'done':
        return [...this.flush(), ...this.closeStep(), ...endChunks(this.runId, data)]
      default:
        return []
    }
  }

  /** Each model call that was answered is a step of its own; an answer without words is followed by one of the same number. */
  private openStep(): UIMessageChunk[] {
    if (this.step?.complete === false) return []
    const closed = this.closeStep()
    this.goesOn = false
    this.step = { text: null, reasoning: null, complete: false }
    return [...closed, { type: 'start-step' }]
  }

  private closeStep(): UIMessageChunk[] {
    const open = this.step !== null
    this.step = null
    return open ? [{ type: 'finish-step' }] : []
  }

  private begin(kind: Kind): UIMessageChunk[] {
    const opened = this.openStep()
    if (this.step === null || this.step[kind] !== null) return opened
    const before = kind === 'text' && this.step.reasoning !== null ? this.send('reasoning', this.step.reasoning, true) : []
    const id = `${kind}-${++this.parts}`
    this.step[kind] = { id, text: '', sent: 0 }
    return [...opened, ...before, { type: `${kind}-start`, id }]
  }

  private more(kind: Kind, data: Record<string, unknown>): UIMessageChunk[] {
    const part = this.step?.[kind]
    if (part === null || part === undefined) return []
    part.text = part.text.slice(0, Number(data['offset'])) + String(data['text'])
    return this.send(kind, part, false)
  }

  private rest(kind: Kind): UIMessageChunk[] {
    const part = this.step?.[kind]
    return part === null || part === undefined ? [] : this.send(kind, part, true)
  }

  private send(kind: Kind, part: Part, final: boolean): UIMessageChunk[] {
    const pieces = piecesFrom(part.text, part.sent, final)
    part.sent += pieces.join('').length
    return pieces.map((delta) => ({ type: `${kind}-delta`, id: part.id, delta }))
  }

  private complete(): UIMessageChunk[] {
    if (this.step === null) return []
    this.step.complete = true
    const { reasoning, text } = this.step
    return [
      ...(reasoning === null ? [] : [{ type: 'reasoning-end' as const, id: reasoning.id }]),
      ...(text === null ? [] : [{ type: 'text-end' as const, id: text.id }]),
    ]
  }

  private reset(): UIMessageChunk[] {
    if (this.step === null || this.step.complete) return []
    this.step.text = null
    this.step.reasoning = null
    return [{ type: 'reset-step' }]
  }

  private flush(): UIMessageChunk[] {
    const { beside } = this
    this.beside = []
    return beside
  }
}

const surroundings = new Set(['seq', 'at', 'channel', 'type', 'runId', 'step'])

/** A frame's own fields. */
function besides(data: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(data).filter(([name]) => !surroundings.has(name)))
}

/** The chunk of a stream that cannot go on; what it breaks is not stored. */
export function errorChunk(error: unknown): UIMessageChunk {
  return { type: 'error', errorText: errorTextOf(error) }
}
