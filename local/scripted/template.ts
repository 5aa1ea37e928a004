import type { AgentDefinition } from '#lib/core/define'
import { defineAgent } from '#lib/core/define'
import { scriptedModelName } from '#local/scripted/model'
import { scriptedTools } from '#local/scripted/tools'

/** The template by which anyone drives every situation from outside; registered in local mode only (6-quality). */
export const scriptedDefinition: AgentDefinition = defineAgent({
  id: 'scripted',
  model: scriptedModelName,
  instructions: 'Play the script.',
  tools: scriptedTools,
})
