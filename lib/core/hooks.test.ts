import { expect, test } from 'vitest'
import { defineAgent } from '#lib/core/define'
import { defineHook } from '#lib/core/hooks'
import { deployTemplates } from '#lib/engine/templates'

const none = (): void => undefined

test('a hook needs a name, a function and a time-out that can be', () => {
  expect(() => defineHook({ name: 'a b', preModel: none })).toThrow('hook name "a b"')
  expect(() => defineHook({ name: 'idle' })).toThrow('it has none of preToolUse, postToolUse, preModel, postModel')
  for (const timeoutMs of [0, -1, 60_001, Number.NaN])
    expect(() => defineHook({ name: 'slow', timeoutMs, preModel: none })).toThrow('timeoutMs')
  expect(defineHook({ name: 'fine', preModel: none })).toMatchObject({ name: 'fine' })
  for (const timeoutMs of [1, 60_000]) expect(defineHook({ name: 'fine', timeoutMs, preModel: none })).toMatchObject({ timeoutMs })
})

test('two hooks of a template may not share a name, and the names are part of its version', () => {
  const hook = (name: string) => defineHook({ name, preModel: none })
  const base = { id: 'one', model: 'local/x', instructions: '' }
  expect(() => defineAgent({ ...base, hooks: [hook('a'), hook('a')] })).toThrow('template one: two hooks are named a')
  const version = (hooks: ReturnType<typeof hook>[]): string | undefined =>
    deployTemplates([defineAgent({ ...base, hooks })], () => null).versions['one']
  expect(version([hook('a')])).toBe(version([hook('a')]))
  expect(new Set([version([]), version([hook('a')]), version([hook('b')]), version([hook('a'), hook('b')])]).size).toBe(4)
})
