import type { Mutation } from '#scripts/mutations/mutation'

const after = (name: string): Mutation['test'] => ({ file: 'lib/http/after-answer.test.ts', name })
const pace = (name: string): Mutation['test'] => ({ file: 'lib/live/pace.test.ts', name })
const command = pace(
  'a command has 300 ms: a request must not wait for a Redis that does not answer; in local mode, where all share a machine, two seconds',
)
const count: Mutation['test'] = {
  file: 'lib/limiter/redis.test.ts',
  name: 'each request waits for its count 300 ms at most, in local mode, where all share a machine, three seconds',
}
const address: Mutation['test'] = { file: 'lib/webhooks/address.test.ts', name: 'outside local mode %s is refused with advice' }

/** Faults in what goes on beside requests and behind their answers that no test noticed when somebody read it for them, and those of its mends. Each has its test since. */
export const unheardBesideRequestsMutations: readonly Mutation[] = [
  {
    name: 'process-stands-still-with-its-sends',
    breaks: 'I7',
    file: 'lib/http/handle.ts',
    text: `    if (!readsOnly.has(method)) options.background(services.settled())\n`,
    replacement: ``,
    test: after('invariant 7: a process is kept until what a request has written to the outbox is sent, also where it was refused'),
  },
  {
    name: 'work-behind-an-answer-ends-before-its-sends',
    breaks: 'I7',
    file: 'lib/http/handle.ts',
    text: `          .then(() => services.settled()),\n`,
    replacement: ``,
    test: after('work that goes on after an answer and %s is followed by its sends'),
  },
  {
    name: 'counts-are-told-by-no-request',
    breaks: 'A20',
    file: 'lib/http/handle.ts',
    text: `    if (metrics.due()) options.background(metrics.flush())\n`,
    replacement: ``,
    test: after('what has been counted is told beside a request when it is time, and only then'),
  },
  {
    name: 'traces-wait-for-their-batch',
    breaks: 'A81',
    file: 'lib/http/handle.ts',
    text: `    if (services.config.traces) options.background(services.telemetry.flush())\n`,
    replacement: ``,
    test: after('where traces are recorded (%s) they are told after each request: nobody waits for a batch to fill'),
  },
  {
    name: 'no-work-without-its-recorder',
    breaks: 'A81',
    file: 'lib/telemetry/telemetry.ts',
    text: `      .catch((error: unknown) => {
        log.error('traces are not recorded: OpenTelemetry could not be loaded', { error: reasonOf(error) })
        return null
      }))
`,
    replacement: `      .finally(() => log.error('', { error: reasonOf(null) })))\n`,
    test: {
      file: 'lib/telemetry/telemetry.test.ts',
      name: 'where no recorder can be made all is done without one; it is told once',
    },
  },
  {
    name: 'commit-told-while-the-row-is-read-is-not-heard',
    breaks: 'A2',
    file: 'lib/api/wait.ts',
    text: `      const since = (woken = new AbortController())
      const answer = await store.getRun(authority, runId)
`,
    replacement: `      const answer = await store.getRun(authority, runId)
      const since = (woken = new AbortController())
`,
    test: {
      file: 'lib/api/wait.test.ts',
      name: 'a commit that is told of while the row is read is looked at at once',
    },
  },
  {
    name: 'silent-stream-is-ended-by-proxies',
    breaks: 'A14',
    file: 'lib/http/sse.ts',
    text: `heartbeatMs = 5_000`,
    replacement: `heartbeatMs = 500_000`,
    test: {
      file: 'lib/http/sse.test.ts',
      name: 'where nothing is said of it a heartbeat comes every five seconds: proxies end what is silent',
    },
  },
  {
    name: 'silent-agent-is-asked-for-at-full-pace',
    breaks: 'A14',
    file: 'lib/live/follow.ts',
    text: `pollEveryMs * 2 ** Math.max(0, quiet - patience)`,
    replacement: `pollEveryMs`,
    test: pace('who follows an agent in which nothing happens asks ever more slowly, up to once a second; with news it is quick again'),
  },
  {
    name: 'live-text-is-written-a-hundred-times-a-second',
    breaks: 'A14',
    file: 'lib/live/forward.ts',
    text: `Math.max(gatherMs, writtenAt + writeEveryMs - clock.monotonic())`,
    replacement: `gatherMs`,
    test: pace('what is emitted without a pause is written five times a second'),
  },
  {
    name: 'refused-subscription-is-asked-for-without-a-pause',
    breaks: 'I10',
    file: 'lib/live/signals.ts',
    text: `      if (wanted()) await clock.sleep(pauseMs * (1 + clock.random() / 2), stop.signal)\n`,
    replacement: ``,
    test: pace('a subscription that is refused is asked for again after pauses that double, up to five seconds'),
  },
  {
    name: 'live-waits-half-a-minute-for-redis',
    breaks: 'I10',
    file: 'lib/live/connection.ts',
    text: `usual: 300, local`,
    replacement: `usual: 30_000, local`,
    test: command,
  },
  {
    name: 'live-waits-for-redis-as-if-it-were-local',
    breaks: 'I10',
    file: 'lib/live/connection.ts',
    text: `local ? timeoutMs.local : timeoutMs.usual`,
    replacement: `local ? timeoutMs.usual : timeoutMs.local`,
    test: command,
  },
  {
    name: 'request-waits-half-a-minute-for-its-count',
    breaks: 'A64',
    file: 'lib/limiter/redis.ts',
    text: `usual: 300, local`,
    replacement: `usual: 30_000, local`,
    test: count,
  },
  {
    name: 'request-waits-for-its-count-as-if-it-were-local',
    breaks: 'A64',
    file: 'lib/limiter/redis.ts',
    text: `local ? timeoutMs.local : timeoutMs.usual`,
    replacement: `local ? timeoutMs.usual : timeoutMs.local`,
    test: count,
  },
  {
    name: 'each-request-looks-for-changed-limits',
    breaks: 'A64',
    file: 'lib/limiter/rates.ts',
    text: `redis === null || clock.monotonic() - listenedAt < listenEveryMs`,
    replacement: `redis === null`,
    test: {
      file: 'lib/limiter/rates.test.ts',
      name: 'who has no count of its own looks for changed limits once a second, however many requests it sends',
    },
  },
  {
    name: 'webhook-into-the-end-of-a-carrier-s-own-network',
    breaks: 'A86',
    file: 'lib/webhooks/ranges.ts',
    text: `['100.64.0.0', 10, 'ipv4']`,
    replacement: `['100.64.0.0', 16, 'ipv4']`,
    test: address,
  },
  {
    name: 'webhook-into-the-end-of-a-test-network',
    breaks: 'A86',
    file: 'lib/webhooks/ranges.ts',
    text: `['198.18.0.0', 15, 'ipv4']`,
    replacement: `['198.18.0.0', 16, 'ipv4']`,
    test: address,
  },
  {
    name: 'webhook-to-an-address-that-is-reserved',
    breaks: 'A86',
    file: 'lib/webhooks/ranges.ts',
    text: `['224.0.0.0', 3, 'ipv4']`,
    replacement: `['224.0.0.0', 4, 'ipv4']`,
    test: address,
  },
]
