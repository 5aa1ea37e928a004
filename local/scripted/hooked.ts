import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineAgent, type AgentDefinition } from '#lib/core/define'
import { defineHook, type HookDefinition } from '#lib/core/hooks'
import { scriptedModelName } from '#local/scripted/model'
import { scriptedTools } from '#local/scripted/tools'

/** The file in the data folder to which the hooks add a line each time they look at a call. */
export const hooksFile = 'hooks.jsonl'

const gate: HookDefinition = defineHook({
  name: 'gate',
  timeoutMs: 2_000,
  async preToolUse({ callId, name, input }, { signal }) {
    const text = JSON.stringify(input)
    if (text.includes('blocked')) return { deny: 'the path is blocked' }
    if (text.includes('hook-throws')) throw new Error('the hook broke')
    if (text.includes('hook-waits')) await sleep(60_000, undefined, { signal })
    if (text.includes('hook-nonsense')) return Object.assign({ input: null }, { callId, name })
    return undefined
  },
})

const hold: HookDefinition = defineHook({
  name: 'hold',
  timeoutMs: 60_000,
  async preToolUse({ input, attempt }, { signal }) {
    // A process can be killed in it, however long that takes to come; the second attempt goes through.
    if (JSON.stringify(input).includes('hook-holds') && attempt === 1) await sleep(60_000, undefined, { signal })
    return undefined
  },
})

const cache: HookDefinition = defineHook({
  name: 'cache',
  preToolUse({ input }) {
    const text = JSON.stringify(input)
    if (text.includes('cached')) return { result: { from: 'the cache' } }
    if (text.includes('change-me')) return { input: JSON.parse(text.replaceAll('change-me', 'changed')) as unknown }
    return undefined
  },
})

const mask: HookDefinition = defineHook({
  name: 'mask',
  postToolUse(_call, outcome) {
    const text = JSON.stringify(outcome.output)
    if (text.includes('post-throws')) throw new Error('the hook broke afterwards')
    return text.includes('replace-me') ? { replace: { replaced: true } } : undefined
  },
})

const talk: HookDefinition = defineHook({
  name: 'talk',
  preModel({ messages }) {
    const last = JSON.stringify(messages.at(-1)?.content)
    if (last.includes('model-stop')) return { stop: 'the conversation may not go on' }
    if (last.includes('model-throws')) throw new Error('the hook broke before the model')
    if (last.includes('model-longer')) return { instructions: 'longer '.repeat(5_000) }
    return undefined
  },
  postModel({ text }) {
    if (text.includes('answer-throws')) throw new Error('the hook broke after the model')
    return text.includes('secret-word') ? { replaceText: text.replaceAll('secret-word', '[removed]') } : undefined
  },
})

/** The template of local mode by which hooks are driven from outside: what they do follows from the words in inputs and outputs. */
export function hookedDefinition(dataDir: string): AgentDefinition {
  const seen = defineHook({
    name: 'seen',
    preToolUse({ callId, name, attempt }) {
      appendFileSync(join(dataDir, hooksFile), `${JSON.stringify({ callId, name, attempt, pid: process.pid })}\n`)
    },
  })
  return defineAgent({
    id: 'hooked',
    model: scriptedModelName,
    instructions: 'Play the script.',
    tools: scriptedTools,
    hooks: [seen, gate, hold, cache, mask, talk],
  })
}
