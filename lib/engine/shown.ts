import type { Redact } from '#lib/core/redact'
import type { CallWrite, Happened, Intends, NewEvent } from '#lib/core/commit'

/** Events that carry the conversation itself: their text equals the stored message to the byte. */
const conversation: ReadonlySet<string> = new Set(['text_end', 'reasoning_end'])

/**
 * What a commit writes, with the copies for those who watch and operate redacted: events, error texts, notes. The conversation and the calls'
 * own records stay exact; a call that shows a secret brings a second copy for its events (docs/decisions/0012).
 */
export function shownCommit(redact: Redact, happened: Happened, intends: Intends): { happened: Happened; intends: Intends } {
  return {
    happened: {
      ...happened,
      ...(happened.events === undefined ? {} : { events: happened.events.map((event) => shownEvent(redact, event)) }),
      ...(happened.calls === undefined ? {} : { calls: happened.calls.map((call) => shownCall(redact, call)) }),
      ...(happened.lastError === undefined ? {} : { lastError: redact(happened.lastError) }),
    },
    intends: intends.end === undefined ? intends : { ...intends, end: { ...intends.end, error: redact(intends.end.error) } },
  }
}

function shownEvent(redact: Redact, event: NewEvent): NewEvent {
  return conversation.has(event.type) ? event : { ...event, data: redact(event.data) }
}

function shownCall(redact: Redact, call: CallWrite): CallWrite {
  const shownInput = redact(call.input)
  const shownOutput = redact(call.output)
  return {
    ...call,
    ...(call.note === undefined ? {} : { note: redact(call.note) }),
    ...(call.approval === undefined ? {} : { approval: { ...call.approval, reason: redact(call.approval.reason) } }),
    ...(Object.is(shownInput, call.input) ? {} : { shownInput }),
    ...(Object.is(shownOutput, call.output) ? {} : { shownOutput }),
  }
}
