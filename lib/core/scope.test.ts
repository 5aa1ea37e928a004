import { expect, test } from 'vitest'
import { parseScope, scopeText } from '#lib/core/scope'

test.each([
  ['global', 'global', null],
  ['tenant', 'tenant', null],
  ['agent:a', 'agent', 'a'],
  ['agent:customer:42:b', 'agent', 'customer:42:b'],
  ['user:*', 'user', '*'],
  ['user:0F0E0D0C-0B0A-4908-8706-050403020100', 'user', '0f0e0d0c-0b0a-4908-8706-050403020100'],
  ['key:k_1', 'key', 'k_1'],
  ['key:K_aB', 'key', 'K_aB'],
  ['agent:Ann:B', 'agent', 'Ann:B'],
  ['tool:getUser', 'tool', 'getUser'],
  ['run:run_018f', 'run', 'run_018f'],
  ['tool:charge', 'tool', 'charge'],
])('%s is a scope', (text, kind, id) => expect(parseScope(text)).toEqual({ kind, id }))

test.each([
  '',
  'agent',
  'agent:',
  'global:x',
  'tenant:',
  'tenant:other',
  'user:me',
  'tool:a b',
  'run:x',
  'team:a',
  ':a',
  'agent:../x',
  'Agent:a',
])('%j is none', (text) => expect(parseScope(text)).toBeNull())

test('has one spelling', () => {
  expect(scopeText({ kind: 'agent', id: 'a:b' })).toBe('agent:a:b')
  expect(scopeText({ kind: 'global', id: null })).toBe('global')
})
