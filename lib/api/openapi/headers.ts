import type { RequestHeader, ResponseHeader } from '#lib/api/openapi/describe'

/** A header in the words of OpenAPI. */
type Header = {
  description: string
  schema: { type: 'string' | 'integer'; enum?: string[]; maxLength?: number; pattern?: string }
  example?: string | number
}

/** Request headers, as components of the document. */
export const requestHeaders: Readonly<Record<RequestHeader, Header>> = {
  'Idempotency-Key': {
    description:
      'Makes the request safe to repeat: a repeat never starts anything and is answered as the first was (Idempotent-Replayed: true).',
    schema: { type: 'string', maxLength: 255, pattern: '^[\\x21-\\x7e]{1,255}$' },
    example: 'order-4711-question-1',
  },
  'If-Match': { description: '`*`: only if the agent exists.', schema: { type: 'string', enum: ['*'] } },
  'If-None-Match': { description: 'Entity tags that the caller has: 304 where one still holds.', schema: { type: 'string' } },
  'Last-Event-ID': {
    description: 'The number of the last event that was seen: the stream goes on after it.',
    schema: { type: 'string', pattern: '^\\d{1,15}$' },
  },
  Prefer: {
    description: '`wait=N`: wait for the end, at most N seconds. `respond-async`: answer at once, nothing runs in the route (RFC 7240).',
    schema: { type: 'string' },
    example: 'wait=25',
  },
}

/** Response headers, as components of the document. */
export const responseHeaders: Readonly<Record<ResponseHeader | 'RateLimit' | 'RateLimit-Policy' | 'X-Request-Id', Header>> = {
  ETag: {
    description: 'Changes whenever the answer does; that time has passed in it (`explain`, `lease`) is no change.',
    schema: { type: 'string' },
  },
  'Idempotent-Replayed': { description: 'There on the answer to a repeat.', schema: { type: 'string', enum: ['true'] } },
  Location: { description: 'Where what was made or started is read.', schema: { type: 'string' } },
  'Preference-Applied': { description: 'The preferences that were honoured.', schema: { type: 'string' } },
  RateLimit: { description: 'What remains of each limit, and the seconds until it is whole again.', schema: { type: 'string' } },
  'RateLimit-Policy': { description: 'Quota and window of each limit.', schema: { type: 'string' } },
  'Retry-After': { description: 'Seconds after which asking again makes sense.', schema: { type: 'integer' } },
  'X-Baton-Agent-Uid': {
    description:
      'The agent that the numbers of the events are of. After a deletion another agent may have its id: its numbers are others, and a reader begins anew.',
    schema: { type: 'string' },
  },
  'X-Request-Id': { description: 'The id of the request: the one that came in, or a made one.', schema: { type: 'string' } },
}
