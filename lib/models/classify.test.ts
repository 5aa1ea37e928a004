import { expect, test } from 'vitest'
import { ProviderError } from '#lib/core/errors'
import { classify, codeOfStatus } from '#lib/models/classify'

const codeOf = (error: unknown): string => classify(error, 'p', 0).code

test('a ProviderError stays what it is', () => {
  const error = new ProviderError('bad_request', 'no')
  expect(classify(error, 'p', 0)).toBe(error)
})

test('sockets are told by their codes, anywhere in the chain of causes', () => {
  const refused = new TypeError('fetch failed', { cause: Object.assign(new Error('x'), { code: 'ECONNREFUSED' }) })
  const slow = new TypeError('fetch failed', { cause: Object.assign(new Error('x'), { code: 'UND_ERR_HEADERS_TIMEOUT' }) })
  expect(codeOf(refused)).toBe('provider_unavailable')
  expect(codeOf(new Error('outer', { cause: slow }))).toBe('provider_timeout')
  expect(codeOf(new DOMException('x', 'TimeoutError'))).toBe('provider_timeout')
})

test('the words of a message mean nothing', () => {
  expect(codeOf(new Error('429 rate limit exceeded, insufficient_quota, prompt is too long'))).toBe('provider_unavailable')
  expect(codeOf({ statusCode: 500, message: 'context_length_exceeded' })).toBe('provider_unavailable')
})

test('what cannot be told is unavailable, whatever was thrown', () => {
  for (const thrown of [undefined, null, 'x', 7, {}, [], () => {}]) expect(codeOf(thrown)).toBe('provider_unavailable')
})

test('an error that is its own cause ends', () => {
  const error = new Error('x')
  error.cause = error
  expect(codeOf(error)).toBe('provider_unavailable')
})

test('the code in the document beats the status, the coarse type does not', () => {
  expect(codeOf({ statusCode: 400, responseBody: '{"error":{"code":"context_length_exceeded"}}' })).toBe('context_too_long')
  expect(codeOf({ statusCode: 402, type: 'internal_server_error' })).toBe('provider_quota')
  expect(codeOf({ type: 'overloaded_error' })).toBe('provider_unavailable')
  expect(codeOf({ type: 'invalid_request_error' })).toBe('bad_request')
})

test('Azure tells its filter one level deeper', () => {
  const body = { error: { code: 'bad_request', innererror: { code: 'ResponsibleAIPolicyViolation' } } }
  expect(codeOf({ statusCode: 400, responseBody: JSON.stringify(body) })).toBe('content_filtered')
})

test.each([
  [400, 'bad_request'],
  [408, 'provider_timeout'],
  [409, 'provider_unavailable'],
  [422, 'bad_request'],
  [425, 'provider_unavailable'],
  [504, 'provider_unavailable'],
  [529, 'provider_unavailable'],
  [301, 'provider_unavailable'],
])('status %i alone is %s', (status, code) => {
  expect(codeOfStatus(status)).toBe(code)
})

test('headers are read in any case, and the message is cut', () => {
  const error = classify({ statusCode: 429, message: 'm'.repeat(2_000), responseHeaders: { 'Retry-After': '2' } }, 'p', 0)
  expect(error).toMatchObject({ retryAfterMs: 2_000, status: 429 })
  expect(error.message.length).toBeLessThan(600)
})

test('what a provider says is told without the secrets in it, and what it threw stays behind it', () => {
  const thrown = { statusCode: 401, message: 'Incorrect API key provided: sk-live-0123456789abcdef0123. Find yours at example.com.' }
  const error = classify(thrown, 'openai', 0)
  expect(error.message).toBe('openai answered 401: Incorrect API key provided: [redacted]. Find yours at example.com.')
  expect(error.cause).toBe(thrown)
})

test('an error within an answer that began well is told by its type, wherever the document has it', () => {
  expect(codeOf({ statusCode: 200, data: { type: 'error', error: { type: 'rate_limit_error' } } })).toBe('provider_rate_limited')
  expect(codeOf({ type: 'response.failed', response: { error: { code: 'insufficient_quota' } } })).toBe('provider_quota')
  expect(codeOf({ error: { type: 'overloaded', error: { code: 'model_not_found' } } })).toBe('model_not_found')
  const details = { error: { type: 'invalid_request_error', details: { error_code: 'prompt_too_long' } } }
  expect(codeOf({ statusCode: 400, responseBody: JSON.stringify(details) })).toBe('context_too_long')
})
