import { expect, test, vi } from 'vitest'
import { BatonError, isErrorCode, isRetryable, ProviderError, reasonOf, type ProviderCode } from '#lib/core/errors'

test('the reason behind an error is what its causes say, once each, without the sentence for the caller, on one short line', () => {
  const socket = new Error('connect ECONNREFUSED\n  127.0.0.1:5432')
  const told = new BatonError('database_unavailable', 'The database is not reachable.', {}, { cause: socket })
  expect(reasonOf(told)).toBe('connect ECONNREFUSED 127.0.0.1:5432')
  expect(reasonOf(new Error('fetch failed', { cause: told }))).toBe('fetch failed: connect ECONNREFUSED 127.0.0.1:5432')
  // Without a cause its own sentence is all there is; what has been said is not said again.
  expect(reasonOf(new BatonError('conflict', 'It is taken.'))).toBe('It is taken.')
  expect(reasonOf(new Error('no: it is taken', { cause: new Error('it is taken') }))).toBe('no: it is taken')
  expect(reasonOf(new AggregateError([new Error('of IPv6'), new Error('of IPv4')], ''))).toBe('of IPv6; of IPv4')
  // One that has words says them itself, and one without words is left out.
  expect(reasonOf(new AggregateError([new Error('of IPv6')], 'none answered'))).toBe('none answered')
  expect(reasonOf(new Error('', { cause: new Error('inside') }))).toBe('inside')
  expect(reasonOf(new Error('outside', { cause: new Error('', { cause: new Error('inside') }) }))).toBe('outside: inside')
  const chain = ['f', 'e', 'd', 'c', 'b', 'a'].reduce<Error | undefined>((cause, name) => new Error(name, { cause }), undefined)
  expect(reasonOf(chain)).toBe('a: b: c: d')
  expect(reasonOf('a text')).toBe('a text')
  expect(reasonOf(new Error('x'.repeat(900)))).toHaveLength(300)
  const round = new Error('round')
  round.cause = round
  expect(reasonOf(round)).toBe('round')
})

test('the same call of a model may succeed later where the provider was busy, slow or away, and nowhere else', () => {
  const codes: ProviderCode[] = ['provider_rate_limited', 'provider_timeout', 'provider_unavailable']
  const final: ProviderCode[] = [
    'provider_auth',
    'provider_quota',
    'bad_request',
    'content_filtered',
    'context_too_long',
    'model_not_found',
  ]
  expect([...codes, ...final].filter(isRetryable)).toEqual(codes)
})

test('a provider’s error has cost something unless it says otherwise; a code is one of the table', () => {
  expect(new ProviderError('bad_request', 'no')).toMatchObject({ unsent: false, status: null, retryAfterMs: null })
  expect(['conflict', 'toString', 'constructor', ''].filter(isErrorCode)).toEqual(['conflict'])
})

test('errors of another copy of this module are ours as well: a development server loads it anew', async () => {
  vi.resetModules()
  const { BatonError: Other, ProviderError: OtherProvider } = await import('#lib/core/errors')
  expect([Other === BatonError, OtherProvider === ProviderError]).toEqual([false, false])
  const errors = [
    new Other('conflict', 'taken'),
    new OtherProvider('provider_timeout', 'late'),
    new Error('BatonError'),
    { name: 'BatonError' },
  ]
  expect(errors.map((error) => [error instanceof BatonError, error instanceof ProviderError])).toEqual([
    [true, false],
    [false, true],
    [false, false],
    [false, false],
  ])
})
