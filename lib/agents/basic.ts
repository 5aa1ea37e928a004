import { defineAgent } from '#lib/core/define'
import { currentTime } from '#lib/tools/current-time'

/** A small assistant to begin with. Without ANTHROPIC_API_KEY the local stack answers with its scripted model. */
export const basic = defineAgent({
  id: 'basic',
  model: 'anthropic/claude-sonnet-5-5',
  instructions: 'You are a helpful assistant. Answer briefly.',
  tools: [currentTime],
})
