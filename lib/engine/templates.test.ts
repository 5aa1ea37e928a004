import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool, type ToolDefinition } from '#lib/core/define'
import { defineHook } from '#lib/core/hooks'
import { deployTemplates } from '#lib/engine/templates'

const tool = (more: Partial<ToolDefinition> = {}) =>
  defineTool({ name: 'act', description: 'Acts', input: z.object({ n: z.number() }), effect: 'external', ...more })
const hook = (deny?: string) => defineHook({ name: 'one', preToolUse: () => (deny === undefined ? undefined : { deny }) })
const base = { id: 'one', model: 'local/x', instructions: 'Act.', tools: [tool()], hooks: [hook()], limits: { maxSteps: 5 } }
const version = (more: object = {}): string | undefined => deployTemplates([defineAgent({ ...base, ...more })], () => null).versions['one']

/** As docs/templates.md says it. */
test.each<[string, object, 'another' | 'the same']>([
  ['a limit', { limits: { maxSteps: 6 } }, 'another'],
  ['the text of the instructions', { instructions: 'Rest.' }, 'another'],
  ['the text of the function that gives them', { instructions: () => 'Act.' }, 'another'],
  ['the text of decide', { permission: { mode: 'custom', decide: () => 'deny' } }, 'another'],
  ["a tool's name", { tools: [tool({ name: 'rest' })] }, 'another'],
  ["a tool's description", { tools: [tool({ description: 'Rests' })] }, 'another'],
  ["a tool's effect", { tools: [tool({ effect: 'pure', run: () => 1 })] }, 'another'],
  ["a tool's input", { tools: [tool({ input: z.object({ m: z.number() }) })] }, 'another'],
  ["a tool's time-out", { tools: [tool({ timeoutMs: 5 })] }, 'another'],
  ["a tool's time to answer", { tools: [tool({ expiresMs: 5 })] }, 'another'],
  ["a tool's output", { tools: [tool({ output: z.string() })] }, 'the same'],
  ["a tool's cost", { tools: [tool({ costMicros: 5 })] }, 'the same'],
  ["what a hook's function does", { hooks: [hook('no')] }, 'the same'],
  ['nothing', {}, 'the same'],
])('a change of %s makes %s version', (_what, more, which) => {
  expect(version(more) === version() ? 'the same' : 'another').toBe(which)
})

test('what a tool runs is no part of the version', () => {
  const of = (answer: number) => version({ tools: [tool({ effect: 'pure', run: () => answer })] })
  expect(of(1)).toBe(of(2))
})
