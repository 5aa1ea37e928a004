import { agentEvents, runEvents } from '#lib/api/events'
import { json, nothing, operation, orElse, type Resource } from '#lib/api/openapi/describe'
import { eventFrame, eventPage, exampleEvent } from '#lib/api/openapi/schemas/event'

const answer = orElse(
  json(eventPage, 'A page of stored events; or the stream, frame by frame', { data: [exampleEvent], nextCursor: null, lastSeq: 31 }, [
    'X-Baton-Agent-Uid',
  ]),
  'text/event-stream',
  eventFrame,
  { id: '30', event: 'text_end', data: exampleEvent },
)
const headers = ['Last-Event-ID'] as const

/** Events: what commits wrote, and text on its way. */
export const events: Resource = {
  tag: 'Events',
  description:
    'Durable events are numbered without gaps per agent; live frames have no number. A stream that breaks is taken up with Last-Event-ID.',
  operations: {
    agentEvents: operation(agentEvents, { 200: answer }, { problems: ['agent_not_found', 'cursor_expired'], headers }),
    runEvents: operation(
      runEvents,
      { 200: answer, 204: nothing('The run is over and all of it has been seen: do not come back') },
      { problems: ['run_not_found', 'cursor_expired', 'agent_not_found'], headers },
    ),
  },
}
