import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool, type AgentDefinition, type AnyTool } from '#lib/core/define'
import { defaultLimits, resolveSettings } from '#lib/core/limits'
import { longestWaitMs } from '#lib/core/numbers'
import { agentSettings, runLimits } from '#lib/core/run'

const agent = (more: object): AgentDefinition => defineAgent({ id: 'one', model: 'local/x', instructions: '', ...more })
const tool = (more: object): AnyTool =>
  defineTool({ name: 'act', description: '', input: z.object({}), effect: 'pure', run: () => 'done', ...more })
const external = (more: object): AnyTool => tool({ effect: 'external', run: undefined, ...more })

/** Each field with the numbers that it may not be beside those that none may be, and with the least that it may be. */
const fields: [field: string, define: (value: unknown) => unknown, least: number, refused: number[]][] = [
  ...(Object.keys(runLimits.shape) as (keyof typeof runLimits.shape)[]).map((name): (typeof fields)[number] => [
    `template one: limits.${name}`,
    (value) => agent({ limits: { [name]: value } }),
    name === 'sliceMs' ? 1 : 0,
    [1.5],
  ]),
  ['template one: maxQueued', (value) => agent({ maxQueued: value }), 0, [0.5, 2 ** 31]],
  ['template one: toolConcurrency', (value) => agent({ toolConcurrency: value }), 1, [1.5]],
  ['template one: approvalExpiresMs', (value) => agent({ approvalExpiresMs: value }), 1, [1.5, longestWaitMs + 1]],
  ['template one: window.maxTokens', (value) => agent({ window: { maxTokens: value } }), 1, [1.5]],
  ['template one: window.maxMessages', (value) => agent({ window: { maxMessages: value } }), 1, [1.5]],
  ['template one: window.keepFirst', (value) => agent({ window: { keepFirst: value } }), 0, [1.5]],
  ['template one: settings.maxOutputTokens', (value) => agent({ settings: { maxOutputTokens: value } }), 1, [1.5]],
  ['template one: settings.temperature', (value) => agent({ settings: { temperature: value } }), 0, []],
  ['tool act: timeoutMs', (value) => tool({ timeoutMs: value }), 1, [1.5]],
  ['tool act: expiresMs', (value) => external({ expiresMs: value }), 1, [1.5, longestWaitMs + 1]],
  ['tool act: costMicros', (value) => tool({ costMicros: value }), 0, [1.5]],
]

test.for(fields)('%s is a number that can be counted with, or no template', ([field, define, least, refused]) => {
  const never = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 2 ** 53, least - 1, '5', null]
  for (const value of [...never, ...refused]) expect(() => define(value), String(value)).toThrow(new RegExp(`^${field} is .*; write a `))
  for (const value of [least, least + 1, undefined]) expect(() => define(value), String(value)).not.toThrow()
})

test('the words say what to write', () => {
  expect(() => agent({ limits: { maxSteps: Number.POSITIVE_INFINITY } })).toThrow(
    'template one: limits.maxSteps is Infinity; write a whole number from 0 to 9007199254740991, or leave it out for the default',
  )
  expect(() => tool({ expiresMs: 5 })).toThrow('tool act: expiresMs is for external tools only')
})

test('a field that is there and undefined has its default', () => {
  const limits = { maxSteps: undefined, maxTokens: 7 } as unknown as NonNullable<AgentDefinition['limits']>
  const settings = resolveSettings(agent({ limits }), 'v1', null, 0)
  expect(settings.limits).toEqual({ ...defaultLimits, maxTokens: 7 })
  expect(agentSettings.safeParse(settings).success).toBe(true)
})

test('the most that a number may be is one that it may be, and what it is instead is named', () => {
  expect(() => agent({ maxQueued: 2 ** 31 - 1 })).not.toThrow()
  expect(() => agent({ approvalExpiresMs: longestWaitMs })).not.toThrow()
  expect(() => agent({ limits: { maxSteps: '5' } })).toThrow('limits.maxSteps is a string; write a whole number from 0')
  expect(() => agent({ limits: { maxSteps: null } })).toThrow('limits.maxSteps is null; write a whole')
  expect(() => agent({ settings: { temperature: 0.5 } })).not.toThrow()
  expect(() => agent({ settings: { temperature: Number.NaN } })).toThrow('settings.temperature is NaN; write a number from 0')
})
