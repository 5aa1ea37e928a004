import { z } from 'zod'
import { defineTool } from '#lib/core/define'

/** Tells the time: reading a clock changes nothing, so a crash may simply read it again. */
export const currentTime = defineTool({
  name: 'current_time',
  description: 'The current date and time in UTC, as ISO 8601.',
  input: z.object({}),
  effect: 'pure',
  run: () => new Date().toISOString(),
})
