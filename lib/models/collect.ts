import type { ProviderMetadata, TextStreamPart, ToolSet } from 'ai'
import type { AnyTool } from '#lib/core/define'
import type { ModelAnswer, ModelDelta, RequestedCall } from '#lib/core/ports'
import { readInput, requestedCall } from '#lib/models/tools'

type Content = ModelAnswer['content']
type Prose = Extract<Content[number], { type: 'text' | 'reasoning' }>
type CallPart = Extract<Content[number], { type: 'tool-call' }>
type Slot = { kind: 'prose'; prose: Prose } | { kind: 'call'; part: CallPart; input: unknown }

/** Puts an answer together from the parts of its stream and passes its text on as it comes. */
export interface Collector {
  take(part: TextStreamPart<ToolSet>): void
  /** The answer so far. With `withCalls` false its tool calls are dropped: an answer that was cut may have cut them too. */
  answer(tools: readonly AnyTool[], withCalls: boolean): Promise<Pick<ModelAnswer, 'content' | 'text' | 'reasoning' | 'calls'>>
}

/**
 * Keeps text, reasoning and tool calls, with the metadata that the provider wants back. Sources, files, `custom` parts and
 * whatever a provider has executed itself are left out: no later call needs them and users must not see them.
 */
export function collector(onDelta: (delta: ModelDelta) => void): Collector {
  const slots: Slot[] = []
  const open = new Map<string, { prose: Prose; part: number }>()
  let parts = 0

  function begin(kind: 'text' | 'reasoning', id: string, metadata: ProviderMetadata | undefined): void {
    const prose: Prose = { type: kind, text: '' }
    slots.push({ kind: 'prose', prose })
    open.set(`${kind} ${id}`, { prose, part: parts })
    parts += 1
    keep(prose, metadata)
  }

  function add(kind: 'text' | 'reasoning', id: string, text: string, metadata: ProviderMetadata | undefined): void {
    const slot = open.get(`${kind} ${id}`)
    if (slot === undefined) return
    slot.prose.text += text
    keep(slot.prose, metadata)
    if (text !== '') onDelta({ kind, part: slot.part, text })
  }

  return {
    take(part) {
      switch (part.type) {
        case 'text-start':
          return begin('text', part.id, part.providerMetadata)
        case 'reasoning-start':
          return begin('reasoning', part.id, part.providerMetadata)
        case 'text-delta':
          return add('text', part.id, part.text, part.providerMetadata)
        case 'reasoning-delta':
          return add('reasoning', part.id, part.text, part.providerMetadata)
        case 'text-end':
          return add('text', part.id, '', part.providerMetadata)
        case 'reasoning-end':
          return add('reasoning', part.id, '', part.providerMetadata)
        case 'tool-call': {
          if (part.providerExecuted === true) return
          const call: CallPart = {
            type: 'tool-call',
            toolCallId: part.toolCallId,
            toolName: part.toolName,
            input: readInput(part.input).input,
          }
          keep(call, part.providerMetadata)
          slots.push({ kind: 'call', part: call, input: part.input })
          return
        }
        default:
          return
      }
    },

    async answer(tools, withCalls) {
      const content: Content = []
      const calls: RequestedCall[] = []
      const ids = new Set<string>()
      for (const slot of slots) {
        if (slot.kind === 'prose') {
          if (slot.prose.text !== '' || slot.prose.providerOptions !== undefined) content.push(slot.prose)
        } else if (withCalls) {
          const toolCallId = unique(slot.part.toolCallId, ids)
          content.push({ ...slot.part, toolCallId })
          calls.push(await requestedCall({ toolCallId, toolName: slot.part.toolName, input: slot.input }, tools))
        }
      }
      const said = (kind: Prose['type']): string =>
        slots.flatMap((slot) => (slot.kind === 'prose' && slot.prose.type === kind ? [slot.prose.text] : [])).join('')
      return { content, text: said('text'), reasoning: said('reasoning'), calls }
    },
  }
}

/** Later metadata of a part completes the earlier: signatures come with the end of a part. */
function keep(part: Prose | CallPart, metadata: ProviderMetadata | undefined): void {
  if (metadata === undefined) return
  const merged = { ...part.providerOptions }
  for (const [provider, values] of Object.entries(metadata)) merged[provider] = { ...merged[provider], ...values }
  part.providerOptions = merged
}

/** Some providers give several calls of an answer one id, or none. */
function unique(id: string, ids: Set<string>): string {
  let candidate = id === '' ? 'call' : id
  for (let count = 2; ids.has(candidate); count += 1) candidate = `${id === '' ? 'call' : id}_${count}`
  ids.add(candidate)
  return candidate
}
