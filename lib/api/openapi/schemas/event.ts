import { z } from 'zod'
import { liveTypes, storedTypes } from '#lib/api/openapi/schemas/event-types'
import { exampleIds } from '#lib/api/openapi/schemas/words'

const advice = 'Told apart by `type`. Types and fields are only ever added: readers pass over those that they do not know.'

/** An event that a commit wrote. */
export const storedEvent = z.discriminatedUnion('type', storedTypes).meta({ id: 'StoredEvent', description: advice })

/** What a frame carries: a stored event, or text on its way. */
export const event = z.discriminatedUnion('type', [...storedTypes, ...liveTypes]).meta({ id: 'Event', description: advice })

/** Events as JSON. */
export const eventPage = z
  .object({ data: z.array(storedEvent), nextCursor: z.string().nullable(), lastSeq: z.int() })
  .meta({ id: 'EventPage' })

/** One frame of an event stream. */
export const eventFrame = z
  .object({
    id: z.string().optional().meta({ description: 'The number of a stored event; live frames have none' }),
    event: z.string().optional().meta({ description: 'The type of the event; not with named=false' }),
    data: event,
  })
  .meta({ id: 'EventFrame', description: 'One frame of Server-Sent Events: its `data` line is an event as JSON' })

const { at, runId } = exampleIds
/** The event of the examples. */
export const exampleEvent: z.input<typeof storedEvent> = {
  seq: 30,
  at,
  channel: 'progress',
  type: 'text_end',
  runId,
  step: 2,
  part: 0,
  text: 'Your order leaves tomorrow.',
}
