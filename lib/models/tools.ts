import type { ToolSet } from 'ai'
import type { AnyTool } from '#lib/core/define'
import { parseSafely } from '#lib/core/parse'
import { mostDepth, tooDeep } from '#lib/core/plain'
import type { RequestedCall } from '#lib/core/ports'
import { inputSchemaOf } from '#lib/core/tool-schema'

type Ai = typeof import('ai')

/**
 * The tools as the AI SDK sends them: without `execute`, and without validation, because the SDK would hand back the
 * input as the schema has changed it, and the engine parses it once more before it runs the tool. Throws a TypeError for an input that
 * `defineTool` would have refused.
 */
export function toolSet(ai: Ai, tools: readonly AnyTool[]): ToolSet | undefined {
  if (tools.length === 0) return undefined
  const entries = tools.map((tool): [string, ToolSet[string]] => {
    const schema = inputSchemaOf(tool) as Parameters<Ai['jsonSchema']>[0]
    return [tool.name, ai.tool({ description: tool.description, inputSchema: ai.jsonSchema(schema) })]
  })
  return Object.fromEntries(entries)
}

/** Says why a call cannot be executed, or null when it can: the model is told, nobody throws. */
async function problemOf(name: string, input: unknown, fault: string | null, tools: readonly AnyTool[]): Promise<RequestedCall['problem']> {
  const tool = tools.find((candidate) => candidate.name === name)
  if (tool === undefined) {
    const known = tools.map((candidate) => candidate.name).join(', ')
    return {
      errorType: 'unknown_tool',
      message: `There is no tool "${name}". ${known === '' ? 'There are no tools.' : `The tools are: ${known}.`}`,
    }
  }
  if (fault !== null) return { errorType: 'validation', message: `The input of ${name} ${fault}.` }
  const parsed = await parseSafely(tool.input, input)
  if (parsed.success) return null
  const issues = parsed.error.issues.slice(0, 10).map((issue) => `${issue.path.join('.') || '(input)'}: ${issue.message}`)
  return { errorType: 'validation', message: `The input of ${name} is not valid: ${issues.join('; ')}` }
}

/** Makes the request for a call as the model wrote it. */
export async function requestedCall(
  call: { toolCallId: string; toolName: string; input: unknown },
  tools: readonly AnyTool[],
): Promise<RequestedCall> {
  const { input, fault } = readInput(call.input)
  return {
    providerCallId: call.toolCallId,
    name: call.toolName,
    input: fault === notAnObject && !tooDeep(call.input) ? call.input : input,
    problem: await problemOf(call.toolName, input, fault, tools),
  }
}

const notAnObject = 'is not a JSON object'

/**
 * The input of a call in the form that every provider takes back, and what is wrong with one that is none: it is stored, and sent again with
 * each later call, which would break on what is nested too deep.
 */
export function readInput(input: unknown): { input: Record<string, unknown>; fault: string | null } {
  if (!isRecord(input)) return { input: {}, fault: notAnObject }
  return tooDeep(input) ? { input: {}, fault: `is nested deeper than ${mostDepth} levels` } : { input, fault: null }
}

function isRecord(input: unknown): input is Record<string, unknown> {
  return typeof input === 'object' && input !== null && !Array.isArray(input)
}
