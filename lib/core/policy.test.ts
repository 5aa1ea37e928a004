import { describe, expect, test, vi } from 'vitest'
import {
  checkPermission,
  matchesName,
  permissionRules,
  rule,
  ruleOf,
  type Permission,
  type PolicyLayers,
  type Verdict,
} from '#lib/core/policy'
import type { Effect } from '#lib/core/run'

const tool = (name: string, effect: Effect = 'once'): { name: string; effect: Effect } => ({ name, effect })
const said = (permission: Permission, name: string, effect: Effect = 'once'): string => {
  const verdict = ruleOf(tool(name, effect), permission)
  return verdict === 'custom' ? verdict : verdict.rule
}
const never = (): Promise<Verdict> => Promise.reject(new Error('nobody asks'))
const under = async (layers: PolicyLayers, name: string, effect: Effect = 'once', custom = never): Promise<string> =>
  (await rule(tool(name, effect), layers, custom)).rule

test.each([
  ['read_*', 'read_file', true],
  ['read_*', 'read_', true],
  ['read_*', 'xread_file', false],
  ['*_secret', 'read_secret', true],
  ['*_secret', 'read_secrets', false],
  ['*', 'anything', true],
  ['a*b*c', 'a-b-c', true],
  ['a*b*c', 'abc', true],
  ['a*b*c', 'acb', false],
  ['ab*ba', 'aba', false],
  ['a*x*c', 'abc', false],
  ['a*x*c', 'axbc', true],
  ['a*bc*c', 'abc', false],
  ['a*b*b', 'ab', false],
  ['**', 'x', true],
  ['charge', 'charge', true],
  ['charge', 'charges', false],
  ['Charge', 'charge', false],
])('%s and %s: %s', (pattern, name, fits) => {
  expect(matchesName(pattern, name)).toBe(fits)
})

test('a pattern made to be slow is not', () => {
  const before = performance.now()
  for (let i = 0; i < 1_000; i++) expect(matchesName(`${'*a'.repeat(31)}*b*`, 'a'.repeat(64))).toBe(false)
  expect(performance.now() - before).toBeLessThan(10_000)
})

describe('A39', () => {
  test('deny > ask > allow > mode', () => {
    const all = { mode: 'auto', allow: ['a', 'b', 'c'], ask: ['b', 'c'], deny: ['c'] } as const
    expect([said(all, 'a'), said(all, 'b'), said(all, 'c')]).toEqual(['allow', 'ask', 'deny'])
    expect(said({ mode: 'approval', deny: ['*'], allow: ['a'] }, 'a')).toBe('deny')
  })

  test("the example of KODE's production guide", () => {
    const guide = { mode: 'approval', ask: ['bash_run', 'fs_write'], allow: ['fs_read', 'fs_glob'] } as const
    expect(said(guide, 'bash_run')).toBe('ask')
    expect(said(guide, 'fs_write')).toBe('ask')
    expect(said(guide, 'fs_read')).toBe('allow')
    expect(said(guide, 'fs_glob')).toBe('allow')
    expect(said(guide, 'anything_else', 'pure')).toBe('ask')
  })

  test('each mode, for what no list names', () => {
    expect(said({}, 'x')).toBe('allow')
    expect(said({ mode: 'auto', ask: ['y'], deny: ['z'] }, 'x')).toBe('allow')
    expect(said({ mode: 'approval' }, 'x', 'pure')).toBe('ask')
    expect(said({ mode: 'readonly' }, 'x', 'pure')).toBe('allow')
    for (const effect of ['idempotent', 'once', 'external'] as const) expect(said({ mode: 'readonly' }, 'x', effect)).toBe('deny')
    expect(said({ mode: 'readonly', allow: ['x'] }, 'x')).toBe('allow')
    expect(said({ mode: 'custom' }, 'x')).toBe('custom')
    expect(said({ mode: 'custom', ask: ['x'] }, 'x')).toBe('ask')
  })

  test('custom: the function decides what the lists leave open, and is not asked for more', async () => {
    const custom = vi.fn<() => Promise<Verdict>>(async () => ({ rule: 'ask', reason: 'over 100' }))
    expect(await under({ template: { mode: 'custom', deny: ['y'] } }, 'x', 'once', custom)).toBe('ask')
    expect(custom).toHaveBeenCalledTimes(1)
    expect(await under({ template: { mode: 'custom', deny: ['y'] } }, 'y', 'once', custom)).toBe('deny')
    expect(await under({ template: { mode: 'custom' }, agent: [{ deny: ['x'] }] }, 'x', 'once', custom)).toBe('deny')
    expect(custom).toHaveBeenCalledTimes(1)
    expect(await under({ template: { mode: 'custom' }, agent: [{ mode: 'custom' }] }, 'x', 'once', custom)).toBe('ask')
    expect(custom).toHaveBeenCalledTimes(2)
  })
})

describe('A78', () => {
  const permission = { allow: ['read_*'], deny: ['*_secret'] }

  test('read_file runs, read_secret is denied, delete_x is not allowed', () => {
    expect(ruleOf(tool('read_file'), permission)).toMatchObject({ rule: 'allow' })
    expect(ruleOf(tool('read_secret'), permission)).toEqual({ rule: 'deny', reason: 'deny names *_secret' })
    expect(ruleOf(tool('delete_x'), permission)).toEqual({ rule: 'deny', reason: 'allow does not name it' })
  })

  test('an empty intersection allows nothing, nor does an empty list', async () => {
    for (const name of ['read_file', 'write_file', 'x']) {
      expect(await under({ template: { allow: ['read_*'] }, agent: [{ allow: ['write_*'] }] }, name)).toBe('deny')
      expect(await under({ template: {}, message: [{ allow: [] }] }, name)).toBe('deny')
    }
  })
})

describe('overrides only narrow', () => {
  test('for every pair of layers the outcome is the stricter of both', async () => {
    const layers = [
      {},
      { ask: ['x'] },
      { deny: ['x'] },
      { allow: ['x'] },
      { mode: 'approval' },
      { mode: 'readonly' },
      { allow: ['y'] },
    ] as const
    const order = ['allow', 'ask', 'deny']
    for (const first of layers) {
      for (const second of layers) {
        const worst = order[Math.max(order.indexOf(said(first, 'x')), order.indexOf(said(second, 'x')))]
        expect(await under({ template: first, agent: [second] }, 'x')).toBe(worst)
        expect(await under({ agent: [first], message: [second] }, 'x')).toBe(worst)
      }
    }
  })

  test('allowed for good lifts an ask, never a deny, and a message may still narrow', async () => {
    const asks: PolicyLayers = { template: { mode: 'approval' }, agent: [{ ask: ['charge'] }] }
    expect(await under(asks, 'charge')).toBe('ask')
    expect(await under({ ...asks, always: ['charge'] }, 'charge')).toBe('allow')
    expect(await under({ ...asks, always: ['charge'] }, 'refund')).toBe('ask')
    expect(await under({ ...asks, always: ['*'] }, 'refund')).toBe('ask')
    expect(await under({ ...asks, always: ['charge'], message: [{ ask: ['charge'] }] }, 'charge')).toBe('ask')
    expect(await under({ template: { deny: ['charge'] }, always: ['charge'] }, 'charge')).toBe('deny')
  })

  test('allowed for good lifts what the function of a template asks, and never its no', async () => {
    const custom: PolicyLayers = { template: { mode: 'custom' }, always: ['charge'] }
    const says = (verdict: Verdict['rule']) => under(custom, 'charge', 'once', async () => ({ rule: verdict, reason: 'over 100' }))
    expect([await says('allow'), await says('ask'), await says('deny')]).toEqual(['allow', 'allow', 'deny'])
  })

  test('of rules that are equally strict the first is told, that of the template before that of the message', async () => {
    const layers: PolicyLayers = { template: { ask: ['charge'] }, agent: [{ mode: 'approval' }], message: [{ ask: ['*'] }] }
    expect(await rule(tool('charge'), layers, never)).toEqual({ rule: 'ask', reason: 'ask names charge' })
  })

  test('no layer at all allows', async () => {
    expect(await under({}, 'x')).toBe('allow')
  })
})

describe('checkPermission', () => {
  const names = ['read_file', 'charge']

  test('a sound one has no problems, though a tool stands in two lists', () => {
    expect(checkPermission({ mode: 'approval', allow: ['read_*'], ask: ['charge', '*'], deny: ['charge'] }, names)).toEqual([])
    expect(checkPermission({ allow: [] }, names)).toEqual([])
  })

  test('patterns that match nothing and contradictions, all at once', () => {
    expect(checkPermission({ mode: 'custom', allow: ['charge', 'write_*'], ask: ['refund'], deny: ['charge'] }, names)).toEqual([
      { path: '/allow/0', message: 'charge stands in deny too, which wins; take it out of one of them' },
      { path: '/allow/1', message: 'write_* matches no tool of the template; it has read_file, charge' },
      { path: '/ask/0', message: 'refund matches no tool of the template; it has read_file, charge' },
      { path: '/mode', message: 'mode custom needs a decide function in the template' },
    ])
    expect(checkPermission({ deny: ['x y', 'a'] }, [])).toEqual([
      { path: '/deny/0', message: '"x y" is no tool name or pattern' },
      { path: '/deny/1', message: 'a matches no tool of the template; it has no tools' },
    ])
  })

  test('an override may take the custom mode of a template that has the function', () => {
    expect(checkPermission({ mode: 'custom' }, names, true)).toEqual([])
    expect(checkPermission({ mode: 'custom', decide: () => 'ask' }, names)).toEqual([])
  })
})

test('what callers send: no other fields, no other characters', () => {
  expect(permissionRules.safeParse({ mode: 'auto', ask: ['a*', 'B-_9'] }).success).toBe(true)
  for (const bad of [{ mode: 'never' }, { ask: ['(a+)+'] }, { ask: [''] }, { deny: 'x' }, { decide: 1 }, { ask: ['a'.repeat(65)] }]) {
    expect(permissionRules.safeParse(bad).success).toBe(false)
  }
})
