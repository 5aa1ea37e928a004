import type { Mutation } from '#scripts/mutations/mutation'

const files = 'lib/models/files.test.ts'
const rates = 'lib/limiter/rates.test.ts'
const tested = 'lib/testing/test-agent.test.ts'

/** Faults of the product that a reader found, planted again: each has been mended with the test that names it. No build is needed. */
export const foundByReadingMutations: readonly Mutation[] = [
  {
    name: 'function-that-ends-before-its-limit',
    breaks: 'I6',
    file: 'lib/env.ts',
    text: `if (seconds !== null && values.BATON_MAX_DURATION_MS > seconds * 1_000)`,
    replacement: `if (seconds !== null && values.BATON_MAX_DURATION_MS > 3_600_000)`,
    test: { file: 'lib/env.test.ts', name: 'on Vercel no function is taken to live longer than the route files of the build let it' },
  },
  {
    name: 'schema-that-throws-is-a-fault-of-the-provider',
    breaks: 'I11',
    file: 'lib/models/tools.ts',
    text: `await parseSafely(tool.input, input)`,
    replacement: `await tool.input.safeParseAsync(input)`,
    test: {
      file: 'lib/models/tools.test.ts',
      name: 'a schema that throws says to the model what it says of an argument that does not fit',
    },
  },
  {
    name: 'schema-may-take-for-ever',
    breaks: 'I11',
    file: 'lib/core/parse.ts',
    text: `Promise.race([schema.safeParseAsync(value), late])`,
    replacement: `schema.safeParseAsync(value)`,
    test: { file: 'lib/core/parse.test.ts', name: 'a schema that never answers is a value that does not fit, after its time' },
  },
  {
    name: 'schema-that-throws-breaks-the-call-off',
    breaks: 'I11',
    file: 'lib/engine/run-tool.ts',
    text: `await parseSafely(tool.input, call.input)`,
    replacement: `await tool.input.safeParseAsync(call.input)`,
    test: { file: tested, name: 'a schema that throws when the call is made ends the call, and the run goes on' },
  },
  {
    name: 'call-that-broke-off-has-not-happened',
    breaks: 'I4',
    file: 'lib/engine/tool-step.ts',
    text: `state: isOnce ? 'sealed' : 'failed'`,
    replacement: `state: 'failed'`,
    test: { file: tested, name: 'a tool that throws what has no words ends the call, and the run goes on' },
  },
  {
    name: 'schema-that-throws-is-a-fault-of-the-server',
    breaks: 'A35',
    file: 'lib/api/approvals.ts',
    text: `await parseSafely(tool.input, input === undefined`,
    replacement: `await tool.input.safeParseAsync(input === undefined`,
    test: { file: 'lib/api/call-result.test.ts', name: 'what a schema throws is told as what does not fit it' },
  },
  {
    name: 'files-of-users-are-fetched',
    breaks: 'I11',
    file: 'lib/models/create-models.ts',
    text: `experimental_download: leftToProvider(opened.provider),`,
    replacement: ``,
    test: {
      file: files,
      name: 'a file that a provider does not fetch itself is not fetched for it: the call is refused, and nobody asked',
    },
  },
  {
    name: 'file-that-a-model-made-fails-its-answer',
    breaks: 'I9',
    file: 'lib/models/files.ts',
    text: `isPromptAsked = true`,
    replacement: `isPromptAsked = false`,
    test: { file: files, name: 'a file that a model has made is left where it lies' },
  },
  {
    name: 'call-above-the-limit-counts-nothing',
    breaks: 'A64',
    file: 'lib/limiter/rates.ts',
    text: `limit.cost - Math.min(used, limit.limit)`,
    replacement: `limit.limit`,
    test: { file: rates, name: 'a model call whose worst case is above the whole limit counts what it has used of it' },
  },
  {
    name: 'tokens-go-back-into-the-next-window',
    breaks: 'A64',
    file: 'lib/limiter/rates.ts',
    text: `taken === null || clock.monotonic() >= taken.until`,
    replacement: `taken === null`,
    test: { file: rates, name: 'what is given back when the next window has begun is not given to that one' },
  },
  {
    name: 'hook-that-threw-at-once-takes-the-process-down',
    breaks: 'I6',
    file: 'lib/engine/hooks.ts',
    text: `Promise.race([answer(), cut])`,
    replacement: `Promise.race([Promise.resolve(ask(context)), cut])`,
    test: {
      file: 'tests/store/edges.test.ts',
      name: 'a hook that has failed at once takes no process down when its slice is cut afterwards',
    },
  },
  {
    name: 'alert-that-was-not-taken-is-told',
    breaks: 'I12',
    file: 'lib/jobs/alerts.ts',
    text: `      if (!(await isDone(text))) break\n`,
    replacement: `      await isDone(text)\n`,
    test: {
      file: 'lib/jobs/alerts.test.ts',
      name: 'a line is told when the channel has taken it, or will never; what it cannot take now, and all after it, is left to a later sweep',
    },
  },
]
