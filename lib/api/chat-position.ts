import type { UIMessageChunk } from 'ai'
import { BatonError } from '#lib/core/errors'
import type { StoredEvent } from '#lib/core/pages'
import { Merger, type OutFrame } from '#lib/api/reader'
import { ChatChunks, tellsOfGivenUp } from '#lib/api/chat-chunks'

/**
 * Where a stream goes on: `chunks` have been received and are the ones that would be sent again; or the client stands somewhere in its
 * step number `steps` (counted from 1), whose parts it drops by `reset-step` and gets again.
 */
export type Position = { chunks: number } | { steps: number }

/** What the stored events of a stream come to: its chunks so far, and where each step begins. */
export interface Counted {
  total: number
  /** The run has ended: nothing will be added. */
  ended: boolean
  steps: { from: number; doubtful: boolean }[]
  /** Where a step would begin of which texts may have been shown that are not stored; null where there is none. */
  open: number | null
}

/** Counts the chunks of stored events as every stream of them sends them. `doubtful`: texts may be shown that are not stored. */
export async function countChunks(
  { runId, after, goesOn }: { runId: string; after: number; goesOn: boolean },
  events: AsyncIterable<StoredEvent> | Iterable<StoredEvent>,
  doubtful: boolean,
): Promise<Counted> {
  const chat = new ChatChunks(runId, goesOn)
  const merger = new Merger(after)
  const counted: Counted = { total: chat.start().length, ended: false, steps: [], open: null }
  for await (const event of events) {
    const isEnd = event.type === 'done'
    // What was shown of a step in which the run was stopped is not stored either.
    if (tellsOfGivenUp(event) || (isEnd && event.data['state'] !== 'completed')) counted.open ??= counted.total + nextStep(chat)
    for (const chunk of merger.event(event).flatMap((frame) => chat.frame(frame))) {
      if (chunk.type === 'start-step') {
        counted.steps.push({ from: counted.total, doubtful: doubtful || counted.open !== null })
        counted.open = null
      }
      counted.total += 1
    }
    if (isEnd) counted.ended = true
  }
  return counted
}

/**
 * Where a client that has received `received` chunks stands. Positions are exact as long as no model call was given up; what was shown of
 * such a call is stored nowhere, so that later steps begin elsewhere for each client. Null: it has everything. Throws BatonError
 * invalid_cursor beyond the end, cursor_expired where the position cannot be told: it is never guessed.
 */
export function positionOf(received: number, { total, ended, steps, open }: Counted): Position | null {
  const doubt = steps.findIndex((step) => step.doubtful)
  const from = steps[doubt]?.from ?? open
  if (from === null || received <= from) {
    if (!ended || received < total) return { chunks: received }
    if (received === total) return null
    throw beyond(received, total)
  }
  const at = doubt >= 0 ? doubt : steps.length
  const next = steps[at + 1]
  if (next === undefined || received <= next.from) return { steps: at + 1 }
  throw new BatonError(
    'cursor_expired',
    `The chunk ${received} cannot be told any more: a step before it was repeated. Load the messages again and follow from startIndex 0.`,
    { startIndex: received },
  )
}

/** How many chunks come before the first one of the next step: the end of the one in hand. */
function nextStep(chat: Pick<ChatChunks, 'stands'>): number {
  return chat.stands() === 'complete' ? 1 : 0
}

/** Leaves out what the client has. Pure: fed with all chunks of the stream from its first one. */
export class Resume {
  private index = 0
  private steps = 0
  private position: Position | null
  /** What the client has of the step it stands in, beside its first chunk. */
  private held: UIMessageChunk[] = []

  constructor(position: Position | null) {
    this.position = position
  }

  /** Before each frame: it may tell of a model call that was given up, of which the client has seen what this stream has not. */
  look(frame: Pick<OutFrame, 'type' | 'data'>, chat: Pick<ChatChunks, 'stands'>): void {
    const { position } = this
    if (position === null || !('chunks' in position) || !tellsOfGivenUp(frame)) return
    if (position.chunks > this.index + nextStep(chat)) this.position = { steps: this.steps + (chat.stands() === 'begun' ? 0 : 1) }
  }

  /** What of these chunks the client gets. Throws BatonError invalid_cursor when the stream ends before the position is reached. */
  take(chunks: readonly UIMessageChunk[]): UIMessageChunk[] {
    return chunks.flatMap((chunk) => this.one(chunk))
  }

  private one(chunk: UIMessageChunk): UIMessageChunk[] {
    const at = this.index++
    const { position } = this
    if (position === null) return [chunk]
    const last = chunk.type === 'finish' || chunk.type === 'error' || chunk.type === 'abort'
    if (chunk.type === 'start-step') {
      this.steps += 1
      this.held = []
    }
    if ('steps' in position) return this.inStep(chunk, position.steps, last)
    if (at < position.chunks) {
      // A text that this stream has seen replaced, or a step in which the run was stopped: what the client has of it is stored nowhere.
      if (chunk.type === 'reset-step') return this.again([])
      if (chunk.type === 'error' || chunk.type === 'abort') return [...this.again([]), chunk]
      if (chunk.type === 'finish' && position.chunks > at + 1) throw beyond(position.chunks, at + 1)
      this.held.push(chunk)
      if (at + 1 === position.chunks && this.held.some((held) => held.type.startsWith('reasoning'))) return this.again(this.held)
      return []
    }
    this.position = null
    return [chunk]
  }

  /** The client stands in a step: once it is reached, its parts are dropped and what there is of it is sent. */
  private inStep(chunk: UIMessageChunk, step: number, last: boolean): UIMessageChunk[] {
    // The run ended before that step did: what was shown of it is not stored.
    if (last && this.steps < step) return [...this.again([]), chunk]
    if (this.steps < step) return []
    return chunk.type === 'start-step' ? this.again([]) : this.again([chunk])
  }

  private again(chunks: readonly UIMessageChunk[]): UIMessageChunk[] {
    this.position = null
    const held = chunks.filter((chunk) => chunk.type !== 'start-step')
    this.held = []
    return [{ type: 'reset-step' }, ...held]
  }
}

function beyond(received: number, total: number): BatonError {
  return new BatonError('invalid_cursor', `startIndex ${received} is beyond the end: this stream has ${total} chunks.`, { total })
}
