import type { LiveFrame } from '#lib/core/ports'

/**
 * Passes frames on so that a watcher sees each part's text from its beginning, each character once, without holes: what was told
 * already is cut off, and what does not follow is left out until the executor has told the text again. Frames of an older epoch
 * than one seen before are those of an executor that lost its lease; they are dropped.
 */
export function createContinuity(onFrame: (frame: LiveFrame) => void): (frame: LiveFrame) => void {
  let highestEpoch = -Infinity
  let current = ''
  /** Length told by part; emptied with each attempt, so it holds the parts of one answer. */
  const told = new Map<string, number>()
  return (frame) => {
    const { runId, epoch, step, attempt, body } = frame
    if (epoch < highestEpoch) return
    highestEpoch = epoch
    const attemptKey = `${runId} ${epoch} ${step} ${attempt}`
    if (attemptKey !== current || body.type === 'step_reset') told.clear()
    current = attemptKey
    if (body.type !== 'delta') return onFrame(frame)
    const part = `${body.kind} ${body.part}`
    const have = told.get(part) ?? 0
    const end = body.offset + body.text.length
    if (body.offset > have || end <= have) return
    told.set(part, end)
    onFrame(body.offset === have ? frame : { ...frame, body: { ...body, offset: have, text: body.text.slice(have - body.offset) } })
  }
}
