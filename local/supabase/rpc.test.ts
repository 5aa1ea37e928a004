import type { IncomingMessage } from 'node:http'
import { expect, test } from 'vitest'
import { hasOnlyP, serviceCall, statusOf } from '#local/supabase/rpc'

const plain = { apikey: 'sb_secret_a', authorization: 'Bearer sb_secret_a', 'content-type': 'application/json' }

function nameOf(headers: Record<string, string>, url = '/rest/v1/rpc/baton_open', method = 'POST'): string | undefined {
  return serviceCall({ method, url, headers } as unknown as IncomingMessage, 'sb_secret_a')
}

test('only a plain service call of a Baton function takes the fast road', () => {
  expect(nameOf(plain)).toBe('baton_open')
  expect(nameOf({ ...plain, apikey: 'sb_publishable_a' })).toBeUndefined()
  expect(nameOf({ ...plain, authorization: 'Bearer a.user.token' })).toBeUndefined()
  expect(nameOf({ ...plain, prefer: 'count=exact' })).toBeUndefined()
  expect(nameOf({ ...plain, 'content-profile': 'other' })).toBeUndefined()
  expect(nameOf({ ...plain, 'user-agent': 'Mozilla/5.0' })).toBeUndefined()
  expect(nameOf(plain, '/rest/v1/rpc/mine')).toBeUndefined()
  expect(nameOf(plain, '/rest/v1/rpc/baton_open?select=x')).toBeUndefined()
  expect(nameOf(plain, '/rest/v1/rpc/baton_open', 'GET')).toBeUndefined()
})

test('only a body with p alone is carried', () => {
  expect(hasOnlyP('{"p":{"a":1}}')).toBe(true)
  for (const body of ['{}', '{"p":1,"q":2}', '[1]', 'null', 'no json', '{"q":1}']) expect(hasOnlyP(body)).toBe(false)
})

test.each([
  ['42501', 403],
  ['42883', 404],
  ['23505', 409],
  ['P0001', 400],
  ['22P02', 400],
  ['57P01', 503],
  ['40001', 500],
])('SQLSTATE %s is HTTP %i, as in PostgREST', (code, status) => {
  expect(statusOf(code)).toBe(status)
})
