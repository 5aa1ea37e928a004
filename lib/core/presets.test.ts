import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, defineTool } from '#lib/core/define'
import { overrides } from '#lib/core/overrides'
import { ruleOf } from '#lib/core/policy'
import { allowedModels, narrow, presets } from '#lib/core/presets'

const tool = (name: string) => defineTool({ name, description: '', input: z.object({}), effect: 'pure', run: () => null })
const definition = defineAgent({
  id: 'one',
  model: 'local/a',
  fallback: ['local/b'],
  models: ['local/c', 'local/a'],
  instructions: '',
  tools: [tool('read_file'), tool('write_file')],
})

test('A84: the presets have the documented numbers', () => {
  const [minute, hour] = [60_000, 3_600_000]
  expect(presets).toEqual({
    restricted: { limits: { maxCostMicros: 1_000_000, maxPerCallMicros: 100_000 }, expiresInMs: hour },
    development: { limits: { maxCostMicros: 10_000_000 }, expiresInMs: 24 * hour },
    production: { limits: { maxCostMicros: 100_000_000, maxPerCallMicros: 5_000_000 }, rate: { calls: 1_000, ms: hour } },
    temporary: {
      limits: { maxCostMicros: 500_000, maxPerCallMicros: 50_000 },
      rate: { calls: 10, ms: minute },
      expiresInMs: 5 * minute,
      unlisted: 'deny',
    },
  })
})

test('A84: temporary denies what its list does not name, whatever mode stands beside it; an empty list allows nothing', () => {
  for (const permission of [undefined, { mode: 'approval' as const }, { allow: [] }, { allow: ['read_*'], mode: 'approval' as const }]) {
    const { narrowing, problems } = narrow({ preset: 'temporary', ...(permission === undefined ? {} : { permission }) }, definition)
    expect(problems).toEqual([])
    const rule = (name: string): unknown => ruleOf({ name, effect: 'pure' }, narrowing.permission ?? {})
    expect(rule('write_file')).toMatchObject({ rule: 'deny' })
    expect(rule('read_file')).toMatchObject({ rule: permission?.allow?.length === 1 ? 'allow' : 'deny' })
  }
})

test('a model is one of the template: its own, a fallback, or a listed one', () => {
  expect(allowedModels(definition)).toEqual(['local/a', 'local/b', 'local/c'])
  expect(narrow({ model: 'local/c' }, definition)).toEqual({ narrowing: { model: 'local/c' }, problems: [] })
  expect(narrow({ model: 'local/d' }, definition).problems).toEqual([
    { path: '/model', message: 'the template allows local/a, local/b, local/c' },
  ])
})

test('patterns that match no tool and contradictions are told with their place', () => {
  const { problems } = narrow({ permission: { deny: ['delete_*'], allow: ['read_file'] } }, definition)
  expect(problems).toMatchObject([{ path: '/permission/deny/0', message: expect.stringContaining('matches no tool') }])
  expect(narrow({ permission: { deny: ['read_*'], allow: ['read_*'] } }, definition).problems[0]?.path).toBe('/permission/allow/0')
  expect(narrow({ permission: { mode: 'custom' } }, definition).problems).toMatchObject([{ path: '/permission/mode' }])
})

test('an instant needs its offset, and unknown fields are refused', () => {
  expect(overrides.safeParse({ expiresAt: '2026-11-21T12:00:00Z' }).success).toBe(true)
  for (const bad of [{ expiresAt: '2026-11-21T12:00:00' }, { expiresAt: 'soon' }, { preset: 'endless' }, { limits: {} }]) {
    expect(overrides.safeParse(bad).success, JSON.stringify(bad)).toBe(false)
  }
})

test('a template with nothing beside its model allows that alone, and no rule fits its tools', () => {
  const bare = defineAgent({ id: 'bare', model: 'local/a', instructions: '' })
  expect(allowedModels(bare)).toEqual(['local/a'])
  expect(narrow({ permission: { deny: ['x'] } }, bare).problems).toEqual([
    { path: '/permission/deny/0', message: 'x matches no tool of the template; it has no tools' },
  ])
  expect(narrow({}, bare)).toStrictEqual({ narrowing: {}, problems: [] })
})

test('the instant at which authority ends is kept, beside a preset that has one too', () => {
  const expiresAt = '2026-11-21T12:00:00Z'
  expect(narrow({ expiresAt }, definition).narrowing).toStrictEqual({ expiresAt })
  expect(narrow({ preset: 'restricted', expiresAt }, definition).narrowing).toStrictEqual({ ...presets.restricted, expiresAt })
})

test('mode custom may be asked for where the template has the function for it', () => {
  const decides = defineAgent({ ...definition, permission: { decide: () => 'ask' } })
  expect(narrow({ permission: { mode: 'custom' } }, decides)).toEqual({ narrowing: { permission: { mode: 'custom' } }, problems: [] })
})
