import type { Mutation } from '#scripts/mutations/mutation'

const at = (file: string, name: string): Mutation['test'] => ({ file, name })
const ended = at('tests/shutdown/sigterm.test.ts', 'what a process has counted and traced is told before it ends')
const compatible = at(
  'lib/models/create-models.test.ts',
  'a compatible provider is asked for its usage, which it tells in a stream only then',
)
const gateway = at(
  'lib/models/create-models.test.ts',
  'through the gateway prompts are marked for the cache of Anthropic, and OpenAI stores nothing',
)
const commands = at(
  'tests/doctor/doctor.test.ts',
  'fsck and export as commands: findings with their meaning, a repair, exit codes, a file of lines',
)
const page = at('tests/access/production.test.ts', 'each page of the console has scripts under a word of its own, and stands in no frame')
const protectedInngest = at(
  'scripts/doctor/inngest.test.ts',
  "a 401 of /api/inngest that is not Baton's own is told as the deployment protection of Vercel",
)
const protectedHealth = at(
  'scripts/doctor/deployment.test.ts',
  "a 401 that is not Baton's own is told as the deployment protection of Vercel",
)
const streams = at(
  'tests/limits/callers.test.ts',
  'a user has 100 streams in a process; links and others are not shut out, and no message is kept for a stream that is refused',
)
const lifetime = at(
  'tests/together/money.test.ts',
  'the lifetime budget of a preset is a row: it holds over runs and over deleting and making the agent again',
)

/** Faults at the edges of the product that no test noticed when somebody read it for them: what operators run, what ends a process, what providers are asked. Each has its test since. */
export const unheardEdgesMutations: readonly Mutation[] = [
  {
    name: 'spans-of-the-background-stay',
    breaks: 'A52',
    file: 'lib/baton.ts',
    text: `Promise.allSettled([settled(), telemetry.flush()])`,
    replacement: `Promise.allSettled([settled()])`,
    test: ended,
    build: true,
  },
  {
    name: 'counts-end-with-the-process',
    breaks: 'A52',
    file: 'lib/baton.ts',
    text: `Promise.all([services.settled(), services.metrics.flush()])`,
    replacement: `Promise.all([services.settled()])`,
    test: ended,
    build: true,
  },
  {
    name: 'usage-not-asked-for',
    breaks: 'I9',
    file: 'lib/providers.ts',
    text: `        includeUsage: true,\n`,
    replacement: ``,
    test: compatible,
  },
  {
    name: 'gateway-without-its-cache',
    breaks: 'I9',
    file: 'lib/providers.ts',
    text: `    providerOptions: { openai: { store: false } },\n    anthropicCache: true,`,
    replacement: `    providerOptions: { openai: { store: false } },`,
    test: gateway,
  },
  {
    name: 'gateway-lets-openai-store',
    breaks: 'A7',
    file: 'lib/providers.ts',
    text: `    providerOptions: { openai: { store: false } },\n    anthropicCache: true,`,
    replacement: `    anthropicCache: true,`,
    test: gateway,
  },
  {
    name: 'sign-in-waits-for-the-platform',
    breaks: 'I11',
    file: 'lib/access/sign-in.ts',
    text: `AbortSignal.timeout(timeoutMs)`,
    replacement: `AbortSignal.timeout(timeoutMs * 1_000)`,
    test: at('lib/access/access.test.ts', 'a project that takes the question and says nothing is given up after five seconds'),
  },
  {
    name: 'repair-of-all-tenants',
    breaks: 'A86',
    file: 'scripts/fsck.ts',
    text: `...(tenant === undefined ? {} : { tenant }) })\n    checked`,
    replacement: `...(tenant === undefined || repair ? {} : { tenant }) })\n    checked`,
    test: commands,
  },
  {
    name: 'operator-of-one-tenant-alone',
    breaks: 'A86',
    file: 'scripts/operator/store.ts',
    text: `tenant: tenant ?? tenantId, name`,
    replacement: `tenant: tenantId ?? tenant, name`,
    test: commands,
  },
  {
    name: 'dollars-of-what-is-reserved',
    breaks: 'I9',
    file: 'lib/api/budgets.ts',
    text: `spentUsd: dollars(budget.spentMicros)`,
    replacement: `spentUsd: dollars(budget.reservedMicros)`,
    test: lifetime,
    build: true,
  },
  {
    name: 'message-larger-than-its-body',
    breaks: 'I1',
    file: 'lib/env.ts',
    text: `  if (values.BATON_MAX_MESSAGE_BYTES > values.BATON_MAX_BODY_BYTES) wrong('BATON_MAX_MESSAGE_BYTES', 'is more than BATON_MAX_BODY_BYTES')\n`,
    replacement: ``,
    test: at('lib/env.test.ts', '%s is refused'),
  },
  {
    name: 'sleep-listens-for-ever',
    breaks: 'I12',
    file: 'lib/system/clock.ts',
    text: `          signal?.removeEventListener('abort', done)\n`,
    replacement: ``,
    test: at(
      'lib/system/clock.test.ts',
      'a sleep that is over listens to its signal no longer, so that a long slice or stream gathers none',
    ),
  },
  {
    name: 'answer-of-a-chat-beyond-the-streams',
    breaks: 'A64',
    file: 'lib/api/chat.ts',
    text: `    checkStreams(context.caller)\n`,
    replacement: `    if (context.body.trigger === undefined) checkStreams(context.caller)\n`,
    test: streams,
    build: true,
  },
  {
    name: 'page-of-the-console-tells-where-from',
    breaks: 'A86',
    file: 'proxy.ts',
    text: `  response.headers.set('referrer-policy', 'no-referrer')\n`,
    replacement: ``,
    test: page,
    build: true,
  },
  {
    name: 'doctor-overlooks-the-dead-sweeper',
    breaks: 'I7',
    file: 'scripts/doctor/inngest.ts',
    text: `sweep > late`,
    replacement: `sweep > late * 100`,
    test: at('scripts/doctor/inngest.test.ts', 'a sweeper that has missed its time four times over is told'),
  },
  {
    name: 'doctor-takes-a-wrong-clock-for-right',
    breaks: 'I11',
    file: 'scripts/doctor/clock.ts',
    text: `local || seconds <= 60`,
    replacement: `local || seconds >= 60`,
    test: at('scripts/doctor/clock.test.ts', 'a clock that is minutes off fails, except where machine and database are one'),
  },
  {
    name: 'doctor-overlooks-the-clock-of-a-deployment',
    breaks: 'I11',
    file: 'scripts/doctor/deployment.ts',
    text: `return seconds > 60`,
    replacement: `return seconds > 60_000`,
    test: at('scripts/doctor/deployment.test.ts', 'clocks that differ by minutes are told'),
  },
  {
    name: 'doctor-takes-protection-for-baton',
    breaks: 'I11',
    file: 'scripts/doctor/deployment.ts',
    text: `health.status === 401 && !health.text.includes('"code"')`,
    replacement: `health.status === 401 && health.text.includes('"code"')`,
    test: protectedHealth,
  },
  {
    name: 'doctor-takes-baton-for-protection',
    breaks: 'I11',
    file: 'scripts/doctor/inngest.ts',
    text: `answer.status === 401 && !('code' in objectOf(answer.text))`,
    replacement: `answer.status === 401 && 'code' in objectOf(answer.text)`,
    test: protectedInngest,
  },
  {
    name: 'doctor-overlooks-that-nobody-can-call',
    breaks: 'I11',
    file: 'scripts/doctor/postgres.ts',
    text: `config.access.required && facts.keys === 0 &&`,
    replacement: `!config.access.required && facts.keys === 0 &&`,
    test: at('scripts/doctor/postgres.test.ts', 'a deployment that nobody can call is told: no key, no admin key, no users'),
  },
  {
    name: 'doctor-overlooks-what-is-overdue',
    breaks: 'I7',
    file: 'scripts/doctor/postgres.ts',
    text: `facts.oldestDueMs > 10 * minuteMs`,
    replacement: `facts.oldestDueMs < 0`,
    test: at('scripts/doctor/postgres.test.ts', 'a run that should have gone on more than ten minutes ago is told'),
  },
  {
    name: 'doctor-overlooks-the-pooler',
    breaks: 'I11',
    file: 'scripts/doctor/postgres.ts',
    text: `new URL(databaseUrl).port === '6543'`,
    replacement: `new URL(databaseUrl).port === '5432'`,
    test: at('scripts/doctor/postgres.test.ts', 'the transaction pooler is told by its port, through which no migration should go'),
  },
  {
    name: 'doctor-asks-on-for-a-failed-run',
    breaks: 'I11',
    file: 'scripts/doctor/deployment.ts',
    text: `if (typeof run['endedAt'] === 'string')`,
    replacement: `if (run['endedAt'] === undefined)`,
    test: at('scripts/doctor/deployment.test.ts', 'a run in the background that ended badly is told as that, and not asked for again'),
  },
  {
    name: 'migrations-through-the-pooler',
    breaks: 'I11',
    file: 'scripts/migrate.ts',
    text: `new URL(url).port !== '6543'`,
    replacement: `new URL(url).port !== '5432'`,
    test: at(
      'scripts/migrate.test.ts',
      'the database of .env.local is found, also of that of an app around Baton, as the doctor finds it that sends one here',
    ),
  },
  {
    name: 'price-that-lost-a-digit',
    breaks: 'I9',
    file: 'lib/providers.ts',
    text: `'claude-opus-5-5': dollars({ input: 4, output: 20,`,
    replacement: `'claude-opus-5-5': dollars({ input: 4, output: 2,`,
    test: at(
      'lib/models/create-models.test.ts',
      'no price has lost a digit: reading a cache costs less than a token that comes anew, writing one not less, an answer most',
    ),
  },
  {
    name: 'page-of-the-console-of-any-type',
    breaks: 'A86',
    file: 'proxy.ts',
    text: `  response.headers.set('x-content-type-options', 'nosniff')\n`,
    replacement: ``,
    test: page,
    build: true,
  },
  {
    name: 'console-without-tls-the-next-time',
    breaks: 'A86',
    file: 'proxy.ts',
    text: `request.nextUrl.protocol === 'https:'`,
    replacement: `request.nextUrl.protocol !== 'https:'`,
    test: page,
    build: true,
  },
]
