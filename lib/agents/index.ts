import type { AgentDefinition } from '#lib/core/define'
import { basic } from '#lib/agents/basic'

/** The deployed templates. Add a line for each of yours; the first one is used where a message names none. */
export const agents: readonly AgentDefinition[] = [basic]
