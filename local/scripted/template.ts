import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { AgentDefinition } from '#lib/core/define'
import { defineAgent } from '#lib/core/define'
import { scriptedModelName } from '#local/scripted/model'
import { chargeUpTo, scriptedTools } from '#local/scripted/tools'

/** The template by which anyone drives every situation from outside; registered in local mode only (6-quality). */
export const scriptedDefinition: AgentDefinition = defineAgent({
  id: 'scripted',
  model: scriptedModelName,
  instructions: 'Play the script.',
  tools: scriptedTools,
})

/** What a deploy can do to a template: take it away, or change its definition. */
export const templateChange = z.strictObject({
  absent: z.boolean().default(false),
  instructions: z.string().min(1).optional(),
  toolConcurrency: z.int().positive().max(100).optional(),
  withoutTools: z.array(z.string()).default([]),
  /** A stricter charge: more cents than these do not fit it any more. */
  chargeAtMost: z.int().positive().optional(),
})

/** The file in the data folder that a process reads when it starts; a server that is started again is a new deploy. */
export const templateFile = 'template.json'

/** The scripted template as this process deploys it: changed or left out as DIR/template.json says. Throws for a file that is not valid. */
export function deployedScripted(dataDir: string): AgentDefinition[] {
  const file = join(dataDir, templateFile)
  if (!existsSync(file)) return [scriptedDefinition]
  const { absent, instructions, toolConcurrency, withoutTools, chargeAtMost } = templateChange.parse(JSON.parse(readFileSync(file, 'utf8')))
  if (absent) return []
  const changed = {
    ...scriptedDefinition,
    ...(instructions === undefined ? {} : { instructions }),
    ...(toolConcurrency === undefined ? {} : { toolConcurrency }),
    tools: scriptedTools
      .filter((tool) => !withoutTools.includes(tool.name))
      .map((tool) => (tool.name === 'charge' && chargeAtMost !== undefined ? chargeUpTo(chargeAtMost) : tool)),
  }
  return [defineAgent(changed)]
}
