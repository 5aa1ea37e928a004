import type { UIDataTypes, UIMessage } from 'ai'
import type { AgentDefinition, AnyTool, ToolDefinition } from '#lib/core/define'

type ToolsOf<Agent> = Agent extends AgentDefinition<infer Tools extends readonly AnyTool[]> ? Tools[number] : never
type PartOf<Tool> =
  Tool extends ToolDefinition<infer Input, infer Output> ? { input: Input; output: Output } : { input: unknown; output: unknown }

/** The messages of useChat for a template, its tool parts typed: `useChat<AgentUIMessage<typeof support>>()`. Types only. */
export type AgentUIMessage<Agent extends AgentDefinition> = UIMessage<
  unknown,
  UIDataTypes,
  { [Tool in ToolsOf<Agent> as Tool['name']]: PartOf<Tool> }
>
