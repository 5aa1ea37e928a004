import { expect, test } from 'vitest'
import { matchPath } from '#lib/http/path'

test('parameters are decoded once', () => {
  expect(matchPath('/api/agents/{id}/messages', '/api/agents/a.b:c/messages')).toEqual({ id: 'a.b:c' })
  expect(matchPath('/api/budgets/{scope}', '/api/budgets/user%3Aa%252Fb%2Fc/')).toEqual({ scope: 'user:a%2Fb/c' })
  expect(matchPath('/api/agents', '/api/agents')).toEqual({})
})

test('another path is not_found, broken encoding is validation', () => {
  expect(() => matchPath('/api/agents/{id}', '/api/runs/x')).toThrow('nothing at this address')
  expect(() => matchPath('/api/agents/{id}', '/api/agents/x/y')).toThrow('nothing at this address')
  expect(() => matchPath('/api/agents/{id}', '/api/agents/%zz')).toThrow('percent-encoding')
})
