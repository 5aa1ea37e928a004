import { expect, test } from 'vitest'
import { accepts, setCorsHeaders, setSecurityHeaders } from '#lib/http/headers'

const asked = (accept: string | null): Request => new Request('http://localhost/', accept === null ? {} : { headers: { accept } })

test('a media type is accepted where it is named and not refused', () => {
  const stream = 'text/event-stream'
  const taken = [stream, `application/json, ${stream}`, 'TEXT/Event-Stream; charset=utf-8', `${stream};q=0.1`, `${stream};q=0.001`]
  const not = [
    null,
    '',
    '*/*',
    'text/*',
    'application/json',
    'text/event-streams',
    `${stream};q=0, application/json`,
    `${stream} ; Q=0.000`,
  ]
  expect(taken.filter((accept) => !accepts(asked(accept), stream))).toEqual([])
  expect(not.filter((accept) => accepts(asked(accept), stream))).toEqual([])
})

test('an answer is read by nobody it is not for: no frame, no script of its own, and over TLS for a year', () => {
  const headers = new Headers()
  setSecurityHeaders(headers, false)
  expect(Object.fromEntries(headers)).toEqual({
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'strict-transport-security': 'max-age=31536000',
    'x-content-type-options': 'nosniff',
  })
  const local = new Headers()
  setSecurityHeaders(local, true)
  expect(local.has('strict-transport-security')).toBe(false)
})

test('a page of an origin that is allowed may send each header that means something here', () => {
  const origin = 'https://app.example.com'
  const allowed = (asked: Record<string, string> = {}) => {
    const init = { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST', ...asked } }
    const headers = new Headers()
    setCorsHeaders(headers, new Request('http://localhost/', init), { local: false, corsOrigins: [origin] }, ['POST'])
    expect(headers.get('vary')).toBe('Origin, Access-Control-Request-Headers')
    return headers.get('access-control-allow-headers')?.split(', ') ?? []
  }
  const always = allowed()
  expect(always).toEqual([
    'accept',
    'authorization',
    'content-type',
    'idempotency-key',
    'if-match',
    'if-none-match',
    'last-event-id',
    'prefer',
    'x-baton-csrf',
    'x-baton-steps',
    'x-request-id',
  ])
  // Those of OpenAI's client as it comes, and of a page that is traced; nothing else is let in by asking.
  const others = ['openai-organization', 'openai-project', 'traceparent', 'tracestate', 'user-agent', 'x-stainless-retry-count']
  const asked = `authorization,content-type,cookie,${others.join(', ')},X-Stainless-OS,x-stainless-,x-baton-other,not-openai-project`
  expect(allowed({ 'access-control-request-headers': asked })).toEqual([...always, ...others, 'x-stainless-os'])
})
