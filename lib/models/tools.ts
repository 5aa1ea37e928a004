import type { ToolSet } from 'ai'
import type { AnyTool } from '#lib/core/define'
import { parseSafely } from '#lib/core/parse'
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
async function problemOf(name: string, input: unknown, malformed: boolean, tools: readonly AnyTool[]): Promise<RequestedCall['problem']> {
  const tool = tools.find((candidate) => candidate.name === name)
  if (tool === undefined) {
    const known = tools.map((candidate) => candidate.name).join(', ')
    return {
      errorType: 'unknown_tool',
      message: `There is no tool "${name}". ${known === '' ? 'There are no tools.' : `The tools are: ${known}.`}`,
    }
  }
  if (malformed) return { errorType: 'validation', message: `The input of ${name} is not a JSON object.` }
  const parsed = await parseSafely(tool.input, input)
  if (parsed.success) return null
  const issues = parsed.error.issues.slice(0, 10).map((issue) => `${issue.path.join('.') || '(input)'}: ${issue.message}`)
  return { errorType: 'validation', message: `The input of ${name} is not valid: ${issues.join('; ')}` }
}

/** Makes the request for a call as the model wrote it; `malformed` is true when the input could not be read as JSON. */
export async function requestedCall(
  call: { toolCallId: string; toolName: string; input: unknown; malformed: boolean },
  tools: readonly AnyTool[],
): Promise<RequestedCall> {
  const malformed = call.malformed || !isRecord(call.input)
  return {
    providerCallId: call.toolCallId,
    name: call.toolName,
    input: call.input,
    problem: await problemOf(call.toolName, call.input, malformed, tools),
  }
}

/** True for what every provider takes as the input of a tool call. */
export function isRecord(input: unknown): input is Record<string, unknown> {
  return typeof input === 'object' && input !== null && !Array.isArray(input)
}
