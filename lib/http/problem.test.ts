import { describe, expect, test } from 'vitest'
import { BatonError, errorTable, isErrorCode } from '#lib/core/errors'
import { problemResponse, respondWithProblem } from '#lib/http/problem'
import { testServices } from './services.fixture.ts'

const request = new Request('http://localhost/api/runs/run_1?token=hidden')
const { log, redact } = testServices()
const place = { request, requestId: 'req_1', baseUrl: null, redact, log }

describe('problem documents', () => {
  test.each(Object.keys(errorTable).filter(isErrorCode))('%s answers with the status, title and retry flag of the table', async (code) => {
    const response = problemResponse(new BatonError(code, 'What happened.'), place)
    const [status, title, retryable] = errorTable[code]
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(response.headers.get('x-should-retry')).toBe(String(retryable))
    expect(await response.json()).toEqual({
      type: `/docs/errors#${code}`,
      title,
      status,
      detail: 'What happened.',
      instance: '/api/runs/run_1',
      code,
      requestId: 'req_1',
      retryable,
    })
  })

  test('details are members, but never override the standard ones', async () => {
    const error = new BatonError('max_steps', 'Fifty steps.', { runId: 'run_1', status: 200, code: 'fine' })
    expect(await problemResponse(error, { ...place, baseUrl: 'https://b.example' }).json()).toMatchObject({
      runId: 'run_1',
      status: 422,
      code: 'max_steps',
      type: 'https://b.example/docs/errors#max_steps',
    })
  })

  test('Retry-After is rounded up to seconds; retryable 429 and 503 always have one, others none', () => {
    const after = (error: BatonError): string | null => problemResponse(error, place).headers.get('retry-after')
    expect(after(new BatonError('rate_limited', '', { retryAfterMs: 1_001 }))).toBe('2')
    expect(after(new BatonError('queue_full', ''))).toBe('1')
    expect(after(new BatonError('database_unavailable', ''))).toBe('1')
    expect(after(new BatonError('not_configured', ''))).toBeNull()
    expect(after(new BatonError('validation', ''))).toBeNull()
  })

  test('401 says how to authenticate', () => {
    expect(problemResponse(new BatonError('unauthorized', ''), place).headers.get('www-authenticate')).toBe('Bearer realm="baton"')
  })

  test.each([new Error('password=hunter2'), 'hunter2', undefined, { hunter2: true }])(
    'what is no BatonError is logged and not shown: %s',
    async (thrown) => {
      const { log, lines } = testServices()
      const response = respondWithProblem(thrown, { ...place, log })
      expect(response.status).toBe(500)
      const text = await response.text()
      expect(text).toContain('internal_error')
      expect(text).not.toContain('hunter2')
      expect(lines).toHaveLength(1)
      expect(lines[0]?.level).toBe('error')
    },
  )

  test('the log of an unknown error has its stack', () => {
    const { log, lines } = testServices()
    respondWithProblem(new Error('boom'), { ...place, log })
    expect(lines[0]?.fields['error']).toMatch(/boom[\s\S]+problem\.test/)
  })
})
