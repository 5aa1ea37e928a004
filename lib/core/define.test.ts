import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool, type AgentDefinition, type AnyTool } from '#lib/core/define'
import { resolveSettings } from '#lib/core/limits'

const agent = (more: Partial<AgentDefinition>): AgentDefinition => defineAgent({ id: 'one', model: 'local/x', instructions: '', ...more })
const tool = (more: Partial<AnyTool>): AnyTool =>
  defineTool({ name: 'act', description: '', input: z.object({}), effect: 'pure', run: () => 'done', ...more })
/** What somebody writes whose types nobody checks. */
const loose = (more: object) => more as Partial<AnyTool> & Partial<AgentDefinition>
const noRun = loose({ run: undefined })

test.each([
  ['a name with a blank', { name: 'a b' }, 'tool name "a b": use 1 to 64 of A-Z a-z 0-9 _ -'],
  ['no name', { name: '' }, 'tool name ""'],
  ['a name that is too long', { name: 'a'.repeat(65) }, 'tool name "aaa'],
  ['an external tool that runs', { effect: 'external' as const }, 'tool act: an external tool has no run'],
  ['a tool that cannot run', noRun, 'tool act: run is missing'],
  [
    'a tool that does not say what a crash may do',
    loose({ effect: undefined }),
    'tool act: effect is missing; write "pure", "idempotent", "once"',
  ],
  ['a tool with an effect that there is not', loose({ effect: 'Once' }), 'tool act: effect is "Once"; write'],
  ['a tool with a misspelt field', loose({ timeoutMS: 5 }), 'tool act: there is no field timeoutMS; there are name'],
  ['a tool whose input is no schema', loose({ input: { a: z.string() } }), 'tool act: input is no zod schema; write z.object'],
])('%s is no tool', (_name, more, words) => expect(() => tool(more)).toThrow(words))

test.each<[string, Partial<AgentDefinition>, string]>([
  ['an id with a slash', { id: 'a/b' }, 'template id "a/b": use 1 to 64 of A-Z a-z 0-9 _ . -'],
  ['an id that begins with a dot', { id: '.a' }, 'template id ".a"'],
  ['an id that is too long', { id: 'a'.repeat(65) }, 'template id "aaa'],
  ['a model without its provider', { model: 'gpt' }, 'template one: model "gpt" must read provider/model'],
  ['a model to fall back to without its provider', { fallback: ['openai/a', 'gpt'] }, 'template one: model "gpt" must read provider/model'],
  ['a model for overrides without its provider', { models: ['gpt'] }, 'template one: model "gpt" must read provider/model'],
  ['a rule for no tool', { permission: { deny: ['act'] } }, 'template one: permission/deny/0: act matches no tool of the template'],
  ['mode custom without a function', { permission: { mode: 'custom' } }, 'template one: permission/mode: mode custom needs'],
  ['a mode that there is not', loose({ permission: { mode: 'Approval' } }), 'template one: permission: mode is "Approval"; write "auto"'],
  ['a misspelt list of rules', loose({ permission: { denied: ['act'] } }), 'template one: permission: there is no field denied'],
  ['an onBusy that there is not', loose({ onBusy: 'queue' }), 'template one: onBusy is "queue"; write "enqueue"'],
  ['an unknownOutcome that there is not', loose({ unknownOutcome: 'x' }), 'template one: unknownOutcome is "x"'],
  ['an approvalDefault that there is not', loose({ approvalDefault: 'yes' }), 'template one: approvalDefault is "yes"'],
  ['a word for public', loose({ public: 'yes' }), 'template one: public is "yes"; write true, false'],
  ['an approver that there is not', loose({ approvers: ['admin'] }), "template one: approvers can be 'owner'"],
  ['a misspelt field', loose({ maxStep: 3 }), 'template one: there is no field maxStep'],
  ['a misspelt limit', loose({ limits: { maxStep: 3 } }), 'template one: limits: there is no field maxStep'],
  ['a misspelt field of its window', loose({ window: { max: 3 } }), 'template one: window: there is no field max'],
  ['a misspelt setting', loose({ settings: { temp: 1 } }), 'template one: settings: there is no field temp'],
  ['no instructions', loose({ instructions: undefined }), 'template one: instructions is a text or a function'],
  [
    'a hook with a misspelt function beside a right one',
    loose({ hooks: [{ name: 'h', preToolUSe: () => ({}), postToolUse: () => ({}) }] }),
    'hook h: there is no field preToolUSe',
  ],
  ['a tool as an object that says nothing of crashes', loose({ tools: [{ name: 'act' }] }), 'tool act: effect is missing'],
  ['a hook without a name', loose({ hooks: [{ preModel: () => ({}) }] }), 'template one: one of its hooks has no name'],
  ['two tools of one name', { tools: [tool({}), tool({})] }, 'template one: two tools are named act'],
])('%s makes no template', (_name, more, words) => expect(() => agent(more)).toThrow(words))

test('names and ids of 1 and of 64 characters, and tools for the outside, are taken as they are', () => {
  for (const name of ['a', 'A-z_9'.padEnd(64, 'a')]) expect(tool({ name }).name).toBe(name)
  for (const id of ['a', '9a.b-c_'.padEnd(64, 'a')]) expect(agent({ id }).id).toBe(id)
  expect(tool({ ...noRun, effect: 'external' }).effect).toBe('external')
  expect(agent({ tools: [tool({})], permission: { deny: ['act'] } }).permission).toEqual({ deny: ['act'] })
})

test('a template is open to signed-in users, and its agents to the decisions of their owners, only where it says so', () => {
  const settings = (more: Partial<AgentDefinition>): object => resolveSettings(agent(more), 'v1', null, 0)
  for (const more of [{}, { public: false }]) {
    expect(settings(more)).not.toHaveProperty('public')
    expect(settings(more)).not.toHaveProperty('approvers')
  }
  expect(settings({ public: true, approvers: ['owner'] })).toMatchObject({ public: true, approvers: ['owner'] })
})

test('what a model may think beside its answer is counted where a template allows it, and is nothing else', () => {
  const thinks = (settings: NonNullable<AgentDefinition['settings']>): number | undefined =>
    resolveSettings(agent({ settings }), 'v1', null, 0).thinkingTokens
  const thinking = { type: 'enabled', budgetTokens: 2_000 }
  expect(thinks({ providerOptions: { anthropic: { thinking } } })).toBe(2_000)
  const none = [{ anthropic: {} }, { openai: { thinking } }, {}].map((providerOptions) => ({ providerOptions }))
  for (const settings of [...none, {}, { temperature: 0.5 }]) expect(thinks(settings)).toBe(0)
})
