import type { AnyTool } from '#lib/core/define'
import { currentTime } from '#lib/tools/current-time'

/** The tools of this deployment, for lists and documentation; templates import theirs directly. */
export const tools: readonly AnyTool[] = [currentTime]
