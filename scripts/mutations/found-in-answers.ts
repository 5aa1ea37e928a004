import type { Mutation } from '#scripts/mutations/mutation'

const responses = 'lib/api/responses.ts'
const transport = 'lib/client/src/chat-transport.ts'
const runs = 'lib/api/runs.ts'
const headers = 'lib/http/headers.ts'
const run = {
  file: 'lib/api/runs.test.ts',
  name: 'the tag of a run changes with each delivery of its webhook and when its link is renewed, not as time passes in its sentences',
}
const origins = {
  file: 'lib/http/headers.test.ts',
  name: 'a page of an origin that is allowed may send each header that means something here',
}
const steered = {
  file: 'lib/api/responses.test.ts',
  name: 'the answer to a message is of the run that it came to, where the one that it steers ended before it could enter',
}

/** Faults in what callers are answered, and in what the client makes of it, that a reader of both has found; each has its test since. */
export const foundInAnswersMutations: readonly Mutation[] = [
  {
    name: 'repeat-of-an-old-response-is-gone',
    breaks: 'I1',
    file: responses,
    text: `const response = await current(services, run, head)`,
    replacement: `const response = (await readResponse(services, run, head, null)).log.response()`,
    test: { file: steered.file, name: 'a repeat after the first events are gone is answered from the row, as a retrieve is' },
  },
  {
    name: 'response-of-the-run-that-was-steered',
    breaks: 'I1',
    file: responses,
    text: `if (facts.runId === run.id) return answered`,
    replacement: `if (facts.runId !== '') return answered`,
    test: steered,
  },
  {
    name: 'response-tells-of-the-run-of-another',
    breaks: 'A86',
    file: responses,
    text: `mayReadOf(begun.opened, other.run.id) ? other.run`,
    replacement: `other.run.id !== '' ? other.run`,
    test: steered,
  },
  {
    name: 'chat-sends-all-that-its-tools-gave',
    breaks: 'A35',
    file: transport,
    text: `messages.slice(-1).map(lastStepOf)`,
    replacement: `messages.slice(-1)`,
    test: {
      file: 'lib/client/src/chat-transport.test.ts',
      name: 'of an answer its last step, where what waits is: all of a long run would be more than a request may have',
    },
  },
  {
    name: 'chat-sends-less-than-a-step',
    breaks: 'A35',
    file: transport,
    text: `message.parts.slice(from) }`,
    replacement: `message.parts.slice(-1) }`,
    test: {
      file: 'lib/client/src/chat-transport.test.ts',
      name: 'of an answer its last step, where what waits is: all of a long run would be more than a request may have',
    },
  },
  {
    name: 'delivery-is-no-change-of-its-run',
    breaks: 'A34',
    file: runs,
    text: `[lease.epoch, lease.live], rest])`,
    replacement: `[lease.epoch, lease.live], rest.queuePosition])`,
    test: run,
  },
  {
    name: 'link-that-is-over-is-never-renewed',
    breaks: 'A15',
    file: runs,
    text: `Math.floor(services.clock.now() / linkMs)`,
    replacement: `linkMs`,
    test: run,
  },
  {
    name: 'client-of-openai-is-refused-by-its-browser',
    breaks: 'A14',
    file: headers,
    text: `[...requestHeaders, ...others]`,
    replacement: `[...requestHeaders, ...others.slice(0, 0)]`,
    test: origins,
  },
  {
    name: 'page-of-another-origin-sends-what-it-likes',
    breaks: 'A86',
    file: headers,
    text: `othersHeader.test(name)`,
    replacement: `name !== ''`,
    test: origins,
  },
  {
    name: 'empty-list-leaves-everything-out',
    breaks: 'A20',
    file: 'lib/api/events.ts',
    text: `given.length === 0 ? undefined : given`,
    replacement: `given`,
    test: { file: 'lib/api/events.test.ts', name: 'an empty list leaves nothing out: %s' },
  },
  {
    name: 'headers-of-another-package-are-missing',
    breaks: 'A34',
    file: 'lib/client/src/webhooks.ts',
    text: `typeof headers.get === 'function'`,
    replacement: `headers instanceof Headers`,
    test: {
      file: 'lib/client/src/webhooks.test.ts',
      name: 'accepts what standardwebhooks has signed, as text and as bytes, with every kind of headers',
    },
  },
]
