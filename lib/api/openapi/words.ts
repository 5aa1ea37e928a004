/** What the document says of itself. */
export const intro = {
  title: 'Baton',
  version: '0.1.0',
  description: [
    'Serverless agents that outlive their function. Send a message, get the answer, or a 202 and go on listening.',
    '',
    'Errors are problem documents (RFC 9457) with a code of a closed list, explained at [/docs/errors](/docs/errors).',
    'Lists take `limit` and an opaque `cursor` and answer `{data, nextCursor}`. Times are ISO 8601, money is in integer micro-dollars.',
    'Every answer has `X-Request-Id`; send your own to have it in logs and audit. Fields are only ever added to answers: accept those you do not know.',
  ].join('\n'),
  license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
}

/** How callers say who they are. */
export const security = {
  bearer: {
    type: 'http',
    scheme: 'bearer',
    description: 'An API key (`bt_...`) or the token of a signed-in Supabase user. A local stack needs none on loopback.',
  },
  streamToken: {
    type: 'apiKey',
    in: 'query',
    name: 'token',
    description: 'The read-only token of `links.events`, good for one agent or run and 15 minutes, for browsers that cannot send headers.',
  },
} as const
