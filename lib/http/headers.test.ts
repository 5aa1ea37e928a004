import { expect, test } from 'vitest'
import { accepts } from '#lib/http/headers'

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
