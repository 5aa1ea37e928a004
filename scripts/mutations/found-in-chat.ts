import type { Mutation } from '#scripts/mutations/mutation'

const streams = 'tests/chat/stream.test.ts'
const migration = (name: string): string => `supabase/migrations/${name}.sql`

/** Faults of the dialects' requests when they are repeated, come together, or wait behind each other, and of how clients wait and leave; each has its test since. */
export const foundInChatMutations: readonly Mutation[] = [
  {
    name: 'second-wish-for-an-answer-is-taken',
    breaks: 'I1',
    file: migration('0015_limits'),
    text: `if last_run is not distinct from p -> 'agent' ->> 'after' then return null; end if;`,
    replacement: `return null;`,
    test: { file: streams, name: 'regenerate beside a message: whoever comes second is told, and no answer is hidden' },
  },
  {
    name: 'retry-of-a-chat-is-not-held-against-its-last-run',
    breaks: 'I1',
    file: migration('0005_claim'),
    text: `refusal := baton.gone_on(w, p);`,
    replacement: `refusal := null;`,
    test: { file: streams, name: 'regenerate beside a message: whoever comes second is told, and no answer is hidden' },
  },
  {
    name: 'stream-behind-a-pause-says-nothing',
    breaks: 'A35',
    file: migration('0008_agents_and_pages'),
    text: `'blockedBy', case when a.state = 'paused' and (a.active_run`,
    replacement: `'blockedBy', case when false and (a.active_run`,
    test: {
      file: 'tests/approvals/rules.test.ts',
      name: 'enqueue as a stream: a frame says behind what, and the stream ends, whether the run before it was paused or pauses then',
    },
  },
  {
    name: 'client-takes-what-is-true-now-for-a-position',
    breaks: 'I8',
    file: 'lib/client/src/shown.ts',
    text: `        return this.blocked(event)\n`,
    replacement: `        return this.durable(event as never)\n`,
    test: { file: 'lib/client/src/shown.test.ts', name: 'what is true only now is told once, and is no position' },
  },
  {
    name: 'client-waits-behind-a-run-that-goes-on',
    breaks: 'A35',
    file: 'lib/client/src/sent.ts',
    text: `return blockedBy === undefined || blockingRunId === undefined ? null : {`,
    replacement: `return {`,
    test: {
      file: 'lib/client/src/sent.test.ts',
      name: 'a message behind a paused run is paused, too, unless that has gone on meanwhile; also for who may not read runs',
    },
  },
  {
    name: 'chat-key-stands-for-every-chat',
    breaks: 'I1',
    file: 'lib/api/chat-send.ts',
    text: `hashed: { id, trigger: 'submit-message', message,`,
    replacement: `hashed: { message,`,
    test: { file: streams, name: 'a key stands for one message of one chat, whatever else the client sends with it' },
    build: true,
  },
  {
    name: 'repeated-wish-for-an-answer-is-refused',
    breaks: 'I1',
    file: 'lib/api/chat-send.ts',
    text: `if (refused !== null && context.idempotencyKey === null) throw refused`,
    replacement: `if (refused !== null) throw refused`,
    test: {
      file: streams,
      name: 'regenerate under a key runs once: repeated while it runs, when it has ended, and when the chat has gone on',
    },
    build: true,
  },
  {
    name: 'cancelled-message-hides-the-last-answer',
    breaks: 'A14',
    file: 'lib/api/chat-send.ts',
    text: `runs.filter(({ startedAt }) => startedAt !== null)`,
    replacement: `runs`,
    test: {
      file: streams,
      name: 'the answer that is shown last can be made again, also after a cancelled message and one that overtook the queue',
    },
    build: true,
  },
  {
    name: 'repeated-result-is-a-conflict',
    breaks: 'A35',
    file: 'lib/api/chat-answers.ts',
    text: `runId === undefined ? await repeatedOf(services, caller, agent, ended, answers) : null`,
    replacement: `null as Continued | null`,
    test: {
      file: 'tests/chat/refusals.test.ts',
      name: 'results of calls that wait outside: once, by who may run the agent, and of no other call',
    },
    build: true,
  },
  {
    name: 'queued-message-holds-its-connection',
    breaks: 'A14',
    file: 'lib/client/src/shared-log.ts',
    text: `Promise.race([known, more()])`,
    replacement: `more()`,
    test: {
      file: 'lib/client/src/follow.test.ts',
      name: 'a stream that nobody reads is left as soon as its run is known, also before its first event, and not before',
    },
  },
  {
    name: 'console-holds-a-connection-for-each-message',
    breaks: 'A14',
    file: 'app/console/_parts/agent/send-message.ts',
    text: `response.body?.cancel()`,
    replacement: `response.body?.pipeTo(new WritableStream())`,
    test: {
      file: 'app/console/_parts/agent/send-message.test.ts',
      name: 'the stream of an accepted message is left: those that wait for their turn would hold all connections of the page',
    },
  },
  {
    name: 'failure-of-get-token-is-the-network',
    breaks: 'A16',
    file: 'lib/client/src/http.ts',
    text: `      asking = true\n`,
    replacement: ``,
    test: {
      file: 'lib/client/src/http.test.ts',
      name: 'who gives the token may take for ever: the time and the signal end it; what it throws is thrown as it is, once',
    },
  },
  {
    name: 'left-iterator-fails-in-its-waiting',
    breaks: 'A16',
    file: 'lib/client/src/follow.ts',
    text: `        if (stopped) return { done: true, value: undefined }\n`,
    replacement: ``,
    test: {
      file: 'lib/client/src/follow.test.ts',
      name: 'an iterator that waits may be left: it ends at once, and what it waited for, too',
    },
  },
  {
    name: 'pause-of-the-past-is-told-again',
    breaks: 'A35',
    file: 'lib/client/src/sent.ts',
    text: `    if (status === 'paused') return paused\n`,
    replacement: `    if (status !== 'done') return paused\n`,
    test: {
      file: 'lib/client/src/sent.test.ts',
      name: 'a pause is told as it stands when the handle is awaited, also again, and to who may not read runs',
    },
  },
  {
    name: 'numbers-go-on-in-another-agent',
    breaks: 'I8',
    file: 'lib/api/stream.ts',
    text: `headers: { ...ofAgent(follow.agentUid), ...headers }`,
    replacement: `headers`,
    test: {
      file: 'tests/client/breaks.test.ts',
      name: 'an agent that is deleted and made anew is another one: who watched the old one is not shown the middle of the new',
    },
    build: true,
  },
  {
    name: 'console-goes-on-in-another-agent',
    breaks: 'I8',
    file: 'app/console/_parts/events.ts',
    text: `agentUid !== (known ??= agentUid)`,
    replacement: `agentUid === known`,
    test: {
      file: 'app/console/_parts/events.test.ts',
      name: 'the same id may be of another agent after a deletion: it is shown from its first event, and not from where the old one was',
    },
  },
  {
    name: 'lost-answer-to-a-deletion-is-a-failure',
    breaks: 'I1',
    file: 'lib/client/src/http.ts',
    text: `method === 'DELETE' && maybeDone`,
    replacement: `failures < 0`,
    test: {
      file: 'lib/client/src/http.test.ts',
      name: 'a deletion whose answer was lost has been done when its repeat finds nothing',
    },
  },
]
