import type { StoredEvent } from '#lib/core/pages'

/** An event with the fields of its own type beside the common ones, as the API sends it. */
export type TimelineEvent = Omit<StoredEvent, 'data'> & Record<string, unknown>

/** The stretch of a run that one executor worked; `to` null while it works. Times in milliseconds since the epoch. */
export interface SliceBar {
  slice: number
  from: number
  to: number | null
  /** How it got the run: the first, by a hand-off, or after the one before died. */
  how: 'first' | 'hand_off' | 'crash'
  /** Why it stopped: the reason of a hand-off, `paused`, `crashed`, or the state the run ended in. */
  end: string | null
}

/** A model call or a tool call on the time axis. */
export interface WorkBar {
  key: string
  kind: 'model' | 'tool'
  label: string
  step: number
  slice: number
  from: number
  to: number | null
  /** Of a tool call: its state; of a model call: done or running. */
  state: string
  costMicros: number | null
  tokens: { input: number; output: number } | null
  callId: string | null
}

/** An instant worth a mark: hand-off, retry, approval, budget, ... */
export interface Mark {
  seq: number
  at: number
  type: string
  tone: 'calm' | 'warn' | 'bad'
  text: string
}

/** A run as its events tell it. */
export interface Timeline {
  from: number
  to: number
  slices: SliceBar[]
  bars: WorkBar[]
  marks: Mark[]
  ended: boolean
}

const number = (value: unknown): number => (typeof value === 'number' ? value : 0)
const text = (value: unknown): string => (typeof value === 'string' ? value : '')

/**
 * Folds the events of one run, oldest first, into bars and marks. `now` ends what goes on; of a run that ended at `endedAt` nothing does, also where its
 * last events are not among these. Pure.
 */
export function timelineOf(events: readonly TimelineEvent[], now: number, endedAt: number | null = null): Timeline {
  const slices: SliceBar[] = []
  const bars: WorkBar[] = []
  const marks: Mark[] = []
  const calls = new Map<string, WorkBar>()
  let modelFrom = 0
  let cost: { costMicros: number; tokens: WorkBar['tokens'] } | null = null
  let ended = false
  let waitsFor: string | null = null

  const at = (event: TimelineEvent): number => Date.parse(event.at)
  const close = (to: number, end: string): void => {
    const last = slices.at(-1)
    if (last?.to === null) Object.assign(last, { to, end })
  }
  const open = (from: number, slice: number, how: SliceBar['how']): void => {
    slices.push({ slice, from, to: null, how, end: null })
    modelFrom = from
  }

  for (const event of events) {
    const time = at(event)
    const mark = markOf(event)
    if (mark !== null) marks.push({ seq: event.seq, at: time, type: event.type, ...mark })
    switch (event.type) {
      case 'state_changed': {
        const state = text(event['runState'])
        if (state === 'running' && slices.length === 0) open(time, 1, 'first')
        if (state === 'awaiting_approval' || state === 'waiting') {
          close(time, 'paused')
          waitsFor = state
        } else waitsFor = null
        break
      }
      case 'handed_off':
        close(time, text(event['reason']))
        break
      case 'resumed':
        close(time, 'crashed')
        open(time, number(event['slice']), event['strategy'] === 'crash' ? 'crash' : 'hand_off')
        break
      case 'usage':
        cost = {
          costMicros: number(event['costMicros']),
          tokens: { input: number(event['inputTokens']), output: number(event['outputTokens']) },
        }
        break
      case 'step_complete':
        if (event['kind'] === 'model') {
          bars.push({
            key: `step-${event.seq}`,
            kind: 'model',
            label: 'Model',
            step: event.step ?? 0,
            slice: slices.at(-1)?.slice ?? 1,
            from: Math.min(modelFrom || time, time),
            to: time,
            state: 'completed',
            costMicros: cost?.costMicros ?? null,
            tokens: cost?.tokens ?? null,
            callId: null,
          })
          cost = null
        }
        modelFrom = time
        break
      case 'tool_start': {
        const callId = text(event['callId'])
        const bar = barOfCall(callId, text(event['name']), event, time, slices.at(-1)?.slice ?? 1)
        bars.push(bar)
        calls.set(callId, bar)
        break
      }
      case 'tool_end': {
        const call = recordOf(event['call'])
        const callId = text(call['callId'])
        const bar = calls.get(callId) ?? barOfCall(callId, text(call['name']), event, time, slices.at(-1)?.slice ?? 1)
        if (!calls.has(callId)) bars.push(bar)
        calls.set(callId, bar)
        Object.assign(bar, { to: time, state: text(call['state']) })
        modelFrom = time
        break
      }
      case 'retry':
        modelFrom = time
        break
      case 'done':
        close(time, text(event['state']))
        ended = true
        break
      default:
    }
  }
  const isCut = !ended && endedAt !== null
  if (isCut) {
    close(endedAt, 'ended')
    for (const bar of bars) bar.to ??= endedAt
    ended = true
  }
  const first = events[0]
  const last = events.at(-1)
  const from = first === undefined ? now : at(first)
  const working = !ended && slices.at(-1)?.to === null && waitsFor === null
  const openCall = bars.some((bar) => bar.kind === 'tool' && bar.to === null)
  if (working && !openCall && modelFrom > 0) bars.push(runningModel(last?.step ?? 0, modelFrom, slices.at(-1)?.slice ?? 1))
  const to = isCut ? endedAt : ended && last !== undefined ? at(last) : working ? now : Math.max(from, last === undefined ? now : at(last))
  return { from, to: Math.max(to, from + 1), slices, bars, marks, ended }
}

function barOfCall(callId: string, name: string, event: TimelineEvent, from: number, slice: number): WorkBar {
  const plain = { costMicros: null, tokens: null, to: null }
  return { ...plain, key: callId, kind: 'tool', label: name, step: event.step ?? 0, slice, from, state: 'executing', callId }
}

function runningModel(step: number, from: number, slice: number): WorkBar {
  const plain = { costMicros: null, tokens: null, to: null, callId: null }
  return { ...plain, key: 'model-now', kind: 'model', label: 'Model', step: step + 1, slice, from, state: 'running' }
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

const seconds = (ms: unknown): string => `${(number(ms) / 1_000).toFixed(1)} s`
const spaced = (value: unknown): string => text(value).replaceAll('_', ' ')

/** What an event says to a person; null for those that the bars show. */
function markOf(event: TimelineEvent): Pick<Mark, 'tone' | 'text'> | null {
  switch (event.type) {
    case 'handed_off':
      return { tone: 'calm', text: `Handed on by executor ${number(event['slice'])} (${spaced(event['reason'])})` }
    case 'resumed': {
      const crashed = event['strategy'] === 'crash'
      const sealed = Array.isArray(event['sealed']) && event['sealed'].length > 0 ? `; ${event['sealed'].length} calls sealed` : ''
      const how = crashed ? 'took over after a crash' : 'took over'
      return { tone: crashed ? 'bad' : 'calm', text: `Executor ${number(event['slice'])} ${how}${sealed}` }
    }
    case 'retry':
      return { tone: 'warn', text: `Model call repeated in ${seconds(event['delayMs'])} (${spaced(event['code'])})` }
    case 'approval_required':
      return { tone: 'warn', text: `Approval needed: ${text(event['tool'])}` }
    case 'approval_decided': {
      const edited = event['edited'] === true ? ', edited' : ''
      return { tone: 'calm', text: `${text(event['tool'])} ${text(event['state'])} by ${text(event['decidedBy'])}${edited}` }
    }
    case 'run_error':
      return { tone: 'bad', text: text(event['message']) }
    case 'killed':
      return { tone: 'bad', text: `Killed by ${text(event['scope'])}: ${text(event['reason'])}` }
    case 'held':
      return { tone: 'warn', text: `Held by ${text(event['scope'])}: ${text(event['reason'])}` }
    case 'budget':
      return { tone: 'warn', text: budgetText(event) }
    case 'window_moved':
      return { tone: 'calm', text: `The model sees messages from ${number(event['from'])} on` }
    case 'message_entered':
      return { tone: 'calm', text: 'A message steered the run' }
    case 'hook_failed':
      return { tone: 'warn', text: `Hook ${text(event['hook'])} failed: ${text(event['message'])}` }
    case 'custom':
      return { tone: 'calm', text: `${text(event['toolName'])}: ${text(event['eventType'])}` }
    case 'done':
      return {
        tone: event['state'] === 'completed' ? 'calm' : 'bad',
        text: `Ended ${spaced(event['state'])} (${spaced(event['stopReason'])})`,
      }
    default:
      return null
  }
}

function budgetText(event: TimelineEvent): string {
  const scope = text(event['scope'])
  if (event['refused'] === true) return `No room in the budget of ${scope}`
  if (event['lowered'] === true) return `The answer was cut to what is left of ${scope}`
  if (event['overrun'] === true) return `A call cost more than was reserved (${scope})`
  return `Budget of ${scope} at ${number(event['level'])} %`
}
