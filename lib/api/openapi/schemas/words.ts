import { z } from 'zod'
import { agentState, effect, runState, stopReason, toolCallState, waitKind } from '#lib/core/run'

/** ISO 8601 with an offset, as Postgres writes it. */
export const instant = z.string().meta({ format: 'date-time' })
/** Money in integer micro-dollars. */
export const micros = z.int().meta({ description: 'Micro-dollars: 1,000,000 are one dollar' })
/** Small facts of the caller's. */
export const facts = z.record(z.string(), z.unknown())

/** The states of an agent, as a component. */
export const agentStates = agentState.meta({ id: 'AgentState' })
/** The states of a run, as a component. */
export const runStates = runState.meta({ id: 'RunState' })
/** Why runs end, as a component. */
export const stopReasons = stopReason.meta({ id: 'StopReason', description: 'Why a run ended: see /docs/errors' })
/** The states of a tool call, as a component. */
export const callStates = toolCallState.meta({ id: 'ToolCallState' })
/** What a crash may do to a tool, as a component. */
export const effects = effect.meta({
  id: 'Effect',
  description: 'What a crash may do: pure and idempotent tools run again, once is never guessed at, external runs elsewhere',
})
/** What waiting runs wait for, as a component. */
export const waitKinds = waitKind.meta({ id: 'WaitKind' })

/** Tokens of one or several model calls. */
export const tokens = z
  .object({
    inputTokens: z.int(),
    outputTokens: z.int(),
    cacheReadTokens: z.int(),
    cacheWriteTokens: z.int(),
    reasoningTokens: z.int(),
  })
  .meta({ id: 'Usage' })

/** Why something failed; the code is of the closed list. */
export const failure = z
  .looseObject({ code: z.string(), message: z.string(), details: facts.optional() })
  .meta({ id: 'Failure', description: 'What ended the run, or what a step met last' })

/** The tokens of the examples. */
export const exampleTokens = { inputTokens: 412, outputTokens: 38, cacheReadTokens: 0, cacheWriteTokens: 0, reasoningTokens: 0 }

/** The ids of the examples: one run of one agent. */
export const exampleIds = {
  agentId: 'support-4711',
  agentUid: '01936f1e-5a70-7c3b-9d0e-3f6c1f6f2a11',
  runId: 'run_01936f1e5a7d7e61b2d0c4a9f8e71234',
  callId: 'call_01936f1e5c107a52a4e1d3b2c1f05678',
  approvalId: 'apr_01936f1e5c117b63b5f2e4c3d2a16789',
  at: '2026-11-21T09:30:00.125+00:00',
  later: '2026-11-21T09:30:02.481+00:00',
}
