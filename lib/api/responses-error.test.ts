import { expect, test } from 'vitest'
import { BatonError, errorTable, isErrorCode } from '#lib/core/errors'
import { openaiError, paramOf } from '#lib/api/responses-error'
import { contentOf, createResponseBody } from '#lib/api/responses-input'
import { problemResponse } from '#lib/http/problem'
import { check, refuse, type FieldProblem } from '#lib/http/validate'
import { testServices } from '#lib/http/services.fixture'

const { redact } = testServices()
const place = { request: new Request('http://localhost/v1/responses'), requestId: 'req_1', baseUrl: null, redact, shapeError: openaiError }

async function shaped(error: BatonError): Promise<{ status: number; error: Record<string, unknown> }> {
  const response = problemResponse(error, place)
  const body = (await response.json()) as { error: Record<string, unknown> }
  return { status: response.status, error: body.error }
}

test.each(Object.keys(errorTable).filter(isErrorCode))('%s has a message, a type, a code, and a param or null', async (code) => {
  const { status, error } = await shaped(new BatonError(code, 'What happened.'))
  expect(error).toMatchObject({
    message: 'What happened.',
    type: expect.stringMatching(/_/),
    code: expect.any(String),
    request_id: 'req_1',
  })
  expect([null, 'string']).toContain(error['param'] === null ? null : typeof error['param'])
  expect(status).toBe(code === 'template_unknown' ? 404 : errorTable[code][0])
})

test.each([
  ['budget_exceeded', 'insufficient_quota'],
  ['forbidden', 'permission_error'],
  ['rate_limited', 'rate_limit_error'],
  ['database_unavailable', 'server_error'],
  ['killed', 'invalid_request_error'],
] as const)('%s is of the type %s', async (code, type) => {
  expect((await shaped(new BatonError(code, ''))).error).toMatchObject({ type })
})

test('the run and the last run are told as responses, and other details are not', async () => {
  const hex = '01a1fd04305c760996ed0d81c8764dcf'
  const { error } = await shaped(
    new BatonError('not_last_run', 'Gone on.', { runId: `run_${hex}`, lastRunId: `run_${hex}`, agentUid: 'secret' }),
  )
  expect(error).toEqual({
    message: 'Gone on.',
    type: 'invalid_request_error',
    param: 'previous_response_id',
    code: 'not_last_response',
    request_id: 'req_1',
    response_id: `resp_${hex}`,
    last_response_id: `resp_${hex}`,
  })
})

test('places in a body are named as OpenAI names them', async () => {
  expect(['/input/0/content/1/image_url', '/a~1b/c', '/metadata/3'].map(paramOf)).toEqual([
    'input[0].content[1].image_url',
    'a/b.c',
    'metadata[3]',
  ])
  const problems: FieldProblem[] = []
  check('body', createResponseBody, { input: 'x', model: 'm', temperature: 1 }, problems)
  const refusal = await Promise.resolve()
    .then(() => refuse(problems))
    .catch((error: unknown) => error)
  expect(await shaped(refusal as BatonError)).toMatchObject({
    status: 400,
    error: { code: 'unsupported_parameter', param: 'temperature', message: "Unsupported parameter: 'temperature' is not supported here." },
  })
})

test('an input is one message', () => {
  const text = (content: string) => ({ role: 'user' as const, content })
  expect(contentOf('hi')).toBe('hi')
  expect(contentOf([text('hi')])).toBe('hi')
  expect(contentOf([text('a'), text('b')])).toEqual([
    { type: 'text', text: 'a' },
    { type: 'text', text: 'b' },
  ])
  const picture = (image_url: string) => contentOf([{ role: 'user', content: [{ type: 'input_image', image_url }] }])
  expect(picture('https://a.example/x.png')).toEqual([{ type: 'image', image: 'https://a.example/x.png' }])
  expect(picture('data:image/svg+xml;base64,AA==')).toEqual([
    { type: 'image', image: 'data:image/svg+xml;base64,AA==', mediaType: 'image/svg+xml' },
  ])
})
