import type { LiveFrame, ModelDelta, ModelRequest } from '#lib/core/ports'
import type { Session } from '#lib/engine/session'

/**
 * Sends the live text of a step to watchers and keeps it, so that somebody who joins late gets it from offset 0.
 * Nothing is emitted when the lease is not certainly held. Text and reasoning count their offsets apart, in UTF-16 units.
 */
export interface StepStream {
  take(delta: ModelDelta): void
  /** The step is repeated or given up: watchers must drop what they have of it. */
  reset(): void
  close(): void
}

/** Sends the text of a model call to whoever watches, and keeps it so that a late watcher gets it from the start. */
export function streamStep(session: Session, request: ModelRequest): StepStream {
  const { live } = session.services
  const { opened } = session
  const text = { text: '', reasoning: '' }
  const frame = (body: LiveFrame['body']): LiveFrame => ({
    agentUid: opened.agentUid,
    runId: opened.run.id,
    epoch: opened.lease.epoch,
    step: request.step,
    attempt: request.attempt,
    afterSeq: opened.lastSeq,
    body,
  })
  const unwatch = live.onWatcher(opened.agentUid, () => {
    if (!session.guard.held()) return
    for (const kind of ['reasoning', 'text'] as const) {
      if (text[kind] !== '') live.emit(frame({ type: 'delta', kind, part: 0, offset: 0, text: text[kind] }))
    }
  })
  return {
    take(delta) {
      if (!session.guard.held()) return
      const offset = text[delta.kind].length
      text[delta.kind] += delta.text
      live.emit(frame({ type: 'delta', kind: delta.kind, part: 0, offset, text: delta.text }))
    },
    reset() {
      if (session.guard.held() && (text.text !== '' || text.reasoning !== '')) live.emit(frame({ type: 'step_reset' }))
      text.text = ''
      text.reasoning = ''
    },
    close: unwatch,
  }
}
