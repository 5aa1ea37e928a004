import { z } from 'zod'
import { exampleIds, instant } from '#lib/api/openapi/schemas/words'

/** What all events have. */
export const event = z
  .looseObject({
    seq: z.int().optional().meta({ description: 'Of durable events: numbered without gaps per agent' }),
    at: instant.optional(),
    channel: z.enum(['progress', 'control', 'monitor']).optional(),
    type: z.string(),
    runId: z.string().nullable(),
    step: z.int().nullable(),
  })
  .meta({
    id: 'Event',
    description: 'With the fields of its type: see docs/events.md. Readers must accept types and fields they do not know.',
  })

/** Events as JSON. */
export const eventPage = z.object({ data: z.array(event), nextCursor: z.string().nullable(), lastSeq: z.int() }).meta({ id: 'EventPage' })

/** One frame of an event stream. */
export const eventFrame = z
  .object({
    id: z.string().optional().meta({ description: 'The number of a durable event; live frames have none' }),
    event: z.string().optional().meta({ description: 'The type of the event; not with named=false' }),
    data: event,
  })
  .meta({ id: 'EventFrame', description: 'One frame of Server-Sent Events: its `data` line is an event as JSON' })

const { at, runId } = exampleIds
/** The event of the examples. */
export const exampleEvent: z.input<typeof event> = {
  seq: 30,
  at,
  channel: 'progress',
  type: 'text_end',
  runId,
  step: 2,
  part: 0,
  text: 'Your order leaves tomorrow.',
}
