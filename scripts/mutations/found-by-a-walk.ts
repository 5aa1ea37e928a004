import type { Mutation } from '#scripts/mutations/mutation'

/** What somebody met who used all of it as a stranger, planted again. */
export const foundByAWalkMutations: readonly Mutation[] = [
  {
    name: 'client-waits-for-a-body-that-has-ended',
    breaks: 'A14',
    file: 'lib/client/src/follow.ts',
    text: `  connection.signal.addEventListener('abort', leave, { once: true })\n`,
    replacement: ``,
    test: { file: 'lib/client/src/follow-left.test.ts', name: 'a body that does not hear of its end holds nobody up who stops reading' },
  },
  {
    name: 'client-reads-what-had-been-left-before',
    breaks: 'A14',
    file: 'lib/client/src/follow.ts',
    text: `  if (connection.signal.aborted) leave()\n`,
    replacement: ``,
    test: {
      file: 'lib/client/src/follow-left.test.ts',
      name: 'a body that does not hear of its end holds nobody up who waits for another connection',
    },
  },
  {
    name: 'subscription-waits-for-a-body-that-has-ended',
    breaks: 'I10',
    file: 'lib/live/subscription.ts',
    text: `  signal.addEventListener('abort', leave, { once: true })\n`,
    replacement: ``,
    test: {
      file: 'lib/live/subscription.test.ts',
      name: 'a subscription whose body does not hear of its end, as in Node up to 22 after Redis has closed it, ends with its stop',
    },
  },
  {
    name: 'another-answer-to-another-question',
    breaks: 'A14',
    file: 'lib/api/chat-send.ts',
    text: `if (question === undefined || saidIn(question.parts) === saidIn(content)) return null`,
    replacement: `if (question === undefined || content !== null) return null`,
    test: { file: 'tests/chat/refusals.test.ts', name: 'a page that was left open makes no answer to what another one has asked since' },
    build: true,
  },
  {
    name: 'stream-for-who-refuses-it',
    breaks: 'A14',
    file: 'lib/http/headers.ts',
    text: `name === type && !parameters`,
    replacement: `name === type || !parameters`,
    test: { file: 'lib/http/headers.test.ts', name: 'a media type is accepted where it is named and not refused' },
  },
  {
    name: 'log-throws-into-its-tool',
    breaks: 'I3',
    file: 'lib/telemetry/log.ts',
    text: `text = written({ ...entry, fields: '[unreadable]' })`,
    replacement: `text = written({ ...entry, ...given })`,
    test: {
      file: 'lib/telemetry/log.test.ts',
      name: 'fields that cannot be read are left out of their line, and whoever logs them goes on; an error tells its words',
    },
  },
  {
    name: 'model-to-fall-back-to-without-its-provider',
    breaks: 'A54',
    file: 'lib/core/define.ts',
    text: `...(agent.fallback ?? []), `,
    replacement: ``,
    test: { file: 'lib/core/define.test.ts', name: '%s makes no template' },
  },
]
