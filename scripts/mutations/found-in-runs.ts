import type { Mutation } from '#scripts/mutations/mutation'

const runs = (name: string): Mutation['test'] => ({ file: 'lib/client/src/runs.test.ts', name })
const traces = (name: string): Mutation['test'] => ({ file: 'lib/engine/traces.test.ts', name })
const sweep = (name: string): Mutation['test'] => ({ file: 'lib/jobs/sweep.test.ts', name })

/** Faults in what a client asks of runs, in what spans and log lines say, in the pace of sweeps. No test beside the code noticed most of them when they were planted for the first time; the built server was not tried with each. */
export const foundInRunsMutations: readonly Mutation[] = [
  {
    name: 'lost-retry-sent-again-by-the-client',
    breaks: 'A13',
    file: 'lib/client/src/runs.ts',
    text: `{ ...call, repeatable: false }`,
    replacement: `{ ...call }`,
    test: runs('a retry whose answer was lost is not sent again: it would begin another run'),
  },
  {
    name: 'cancel-without-its-reason',
    breaks: 'A81',
    file: 'lib/client/src/runs.ts',
    text: `body: { ...(reason && { reason }) }`,
    replacement: `body: {}`,
    test: runs('a cancel says why where somebody has said it, under the id as it is'),
  },
  {
    name: 'stream-address-keeps-event-names',
    breaks: 'A15',
    file: 'lib/client/src/runs.ts',
    text: `named: named === false ? named : null`,
    replacement: `named: null`,
    test: runs('the address of a stream carries its token and the filters; event names are left out where that is asked for'),
  },
  {
    name: 'stream-address-without-channels',
    breaks: 'A15',
    file: 'lib/client/src/runs.ts',
    text: `pathOf(link, { channels, types, named`,
    replacement: `pathOf(link, { types, named`,
    test: runs('the address of a stream carries its token and the filters; event names are left out where that is asked for'),
  },
  {
    name: 'wait-ends-at-a-pause-that-was-to-be-waited-through',
    breaks: 'A34',
    file: 'lib/client/src/runs.ts',
    text: `(!untilEnded && isPaused(run))`,
    replacement: `isPaused(run)`,
    test: runs('waiting ends with the run, or at its pause unless that is waited through; a time of zero asks once'),
  },
  {
    name: 'wait-without-an-end',
    breaks: 'A44',
    file: 'lib/client/src/runs.ts',
    text: `if (Date.now() >= until)`,
    replacement: `if (Date.now() > until + 60_000)`,
    test: runs('waiting ends with the run, or at its pause unless that is waited through; a time of zero asks once'),
  },
  {
    name: 'words-of-the-conversation-in-the-log',
    breaks: 'A54',
    file: 'lib/engine/traces.ts',
    text: `new Set(['bad_request', 'content_filtered', 'context_too_long'])`,
    replacement: `new Set(['content_filtered'])`,
    test: traces('a failure is told with its words, but where those may repeat what the provider was sent'),
  },
  {
    name: 'lines-that-nobody-switched-on',
    breaks: 'A81',
    file: 'lib/engine/traces.ts',
    text: `if (config.log.lines.includes('usage')) log.info`,
    replacement: `log.info`,
    test: traces('the lines of a model call are written where they are switched on, each with its own numbers'),
  },
  {
    name: 'slices-in-traces-of-their-own',
    breaks: 'A44',
    file: 'lib/engine/traces.ts',
    text: `parent: run.traceparent ?? null`,
    replacement: `parent: null`,
    test: traces('spans are named and numbered by the conventions, and stand in the trace that opened the run'),
  },
  {
    name: 'cached-tokens-changed-about',
    breaks: 'A20',
    file: 'lib/engine/traces.ts',
    text: `'gen_ai.usage.cache_read.input_tokens': usage.cacheReadTokens`,
    replacement: `'gen_ai.usage.cache_read.input_tokens': usage.cacheWriteTokens`,
    test: traces('spans are named and numbered by the conventions, and stand in the trace that opened the run'),
  },
  {
    name: 'every-request-sweeps',
    breaks: 'I7',
    file: 'lib/jobs/sweep.ts',
    text: `everyMs: from === 'cron' ? config.sweepEveryMs / 2 : besideEveryMs / config.haste`,
    replacement: `everyMs: from === 'cron' ? config.sweepEveryMs / 2 : 0`,
    test: sweep('beside a request the database is swept every ten seconds over all processes, and little is sent anew'),
  },
  {
    name: 'clock-sends-little-anew',
    breaks: 'I7',
    file: 'lib/jobs/sweep.ts',
    text: `cron: { least: 10, most: 100 }`,
    replacement: `cron: { least: 10, most: 10 }`,
    test: sweep('beside a request the database is swept every ten seconds over all processes, and little is sent anew'),
  },
]
