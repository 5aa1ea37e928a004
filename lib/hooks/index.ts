import type { HookDefinition } from '#lib/core/hooks'
import { callLog } from '#lib/hooks/call-log'

/** The hooks of this deployment, for lists and documentation; templates import theirs directly. */
export const hooks: readonly HookDefinition[] = [callLog]
