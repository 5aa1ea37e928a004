import type { Mutation } from '#scripts/mutations/mutation'

const migration = (name: string): string => `supabase/migrations/${name}.sql`

const noTool: Mutation['test'] = { file: 'lib/core/define.test.ts', name: '%s is no tool' }
const noTemplate: Mutation['test'] = { file: 'lib/core/define.test.ts', name: '%s makes no template' }
const brand: Mutation['test'] = {
  file: 'lib/core/errors.test.ts',
  name: 'errors of another copy of this module are ours as well: a development server loads it anew',
}
const filtered: Mutation['test'] = {
  file: 'lib/api/events.test.ts',
  name: 'a reader who wants only some events of a run that has ended is told where it stands, and 204 when it comes back',
}

/** What a backend developer, an operator and an author of templates met who used all of it as strangers, planted again. */
export const foundByASecondWalkMutations: readonly Mutation[] = [
  {
    name: 'errors-of-another-copy-are-unknown',
    breaks: 'A54',
    file: 'lib/core/errors.ts',
    text: `error instanceof Error && error.name === 'BatonError' && 'details' in error`,
    replacement: `Function.prototype[Symbol.hasInstance].call(BatonError, error)`,
    test: brand,
  },
  {
    name: 'provider-errors-of-another-copy-are-unknown',
    breaks: 'A54',
    file: 'lib/core/errors.ts',
    text: `error instanceof Error && error.name === 'ProviderError' && 'unsent' in error`,
    replacement: `Function.prototype[Symbol.hasInstance].call(ProviderError, error)`,
    test: brand,
  },
  {
    name: 'filtered-stream-of-an-ended-run-never-ends',
    breaks: 'I8',
    file: 'lib/api/events.ts',
    text: `...filterOf(stored(given))`,
    replacement: `...{}`,
    test: filtered,
  },
  {
    name: 'filtered-reader-of-an-end-has-no-position',
    breaks: 'I8',
    file: 'lib/api/feed.ts',
    text: `      if (unseen !== null) stream.position(unseen)\n      return true\n`,
    replacement: `      return true\n`,
    test: filtered,
  },
  {
    name: 'empty-answer-counts-as-a-step',
    breaks: 'I11',
    file: 'lib/engine/model-step.ts',
    text: `step: run.step, steps: 0, emptyAnswers: 1`,
    replacement: `step: run.step, emptyAnswers: 1`,
    test: {
      file: 'tests/store/engine-seldom.test.ts',
      name: 'A84: a model call that has no room in the rate of its agent waits for the next window, and is no retry',
    },
  },
  {
    name: 'limit-without-money-has-none-left',
    breaks: 'I9',
    file: migration('0022_budget_pages'),
    text: `case when counts and b.limit_micros is not null then greatest(0, b.limit_micros`,
    replacement: `case when counts then greatest(0, b.limit_micros`,
    test: {
      file: 'tests/store/budget-tools.test.ts',
      name: 'a limit of tokens or calls alone has no money that remains, and does not stand before one of money',
    },
  },
  {
    name: 'tool-says-nothing-of-crashes',
    breaks: 'I4',
    file: 'lib/core/define.ts',
    text: '  checkWords(`tool ${tool.name}`, tool, { effect: effect.options }, Object.keys(toolFields))\n',
    replacement: '',
    test: noTool,
  },
  {
    name: 'tool-without-a-schema',
    breaks: 'I11',
    file: 'lib/core/tool-schema.ts',
    text: `typeof given !== 'object' || given === null || !('_zod' in given)`,
    replacement: `typeof given !== 'object' || given === null`,
    test: noTool,
  },
  {
    name: 'template-of-misspelt-words',
    breaks: 'I11',
    file: 'lib/core/define.ts',
    text: '  checkTemplateWords(`template ${agent.id}`, agent)\n',
    replacement: '',
    test: noTemplate,
  },
  {
    name: 'misspelt-limit-is-none',
    breaks: 'I11',
    file: 'lib/core/define.ts',
    text: '  checkFields(`${what}: limits`, agent.limits, Object.keys(limitNumbers))\n',
    replacement: '',
    test: noTemplate,
  },
  {
    name: 'misspelt-field-is-none',
    breaks: 'I11',
    file: 'lib/core/words.ts',
    text: `  checkFields(what, given, known)\n}`,
    replacement: `}`,
    test: noTemplate,
  },
  {
    name: 'hook-without-a-name',
    breaks: 'I11',
    file: 'lib/core/define.ts',
    text: `typeof name !== 'string' || name === ''`,
    replacement: `name === ''`,
    test: noTemplate,
  },
  {
    name: 'delivery-shows-what-was-not-sent',
    breaks: 'A81',
    file: 'lib/api/deliveries.ts',
    text: `services.redact(deliveryBody(answer.delivery))`,
    replacement: `deliveryBody(answer.delivery)`,
    test: { file: 'lib/api/deliveries.test.ts', name: 'a delivery is shown as it was sent, without secrets' },
  },
  {
    name: 'export-tells-secrets-of-deliveries',
    breaks: 'A81',
    file: 'lib/core/operations.ts',
    text: `new Set(['audit', 'delivery'])`,
    replacement: `new Set(['audit'])`,
    test: { file: 'lib/api/export.test.ts', name: '%s leaves without its secrets, as it is shown elsewhere' },
  },
  {
    name: 'export-of-nothing-replaces-a-good-one',
    breaks: 'A81',
    file: 'scripts/export.ts',
    text: `if (written > 0) return written`,
    replacement: `if (written >= 0) return written`,
    test: {
      file: 'tests/doctor/doctor.test.ts',
      name: 'fsck and export as commands: findings with their meaning, a repair, exit codes, a file of lines',
    },
  },
  // Of the second reading of these mends.
  {
    name: 'cut-answer-takes-in-what-it-cannot-answer',
    breaks: 'I11',
    file: 'lib/engine/settle.ts',
    text: `force.end?.state === 'completed' && planned.end?.last === true`,
    replacement: `force.end?.state === 'failed' && planned.end?.last === true`,
    test: {
      file: 'tests/store/engine-steered.test.ts',
      name: 'steered into the answer of a run without %s left it becomes the next run, and the answer stands',
    },
  },
  {
    name: 'pieces-of-text-are-asked-of-the-rows',
    breaks: 'I8',
    file: 'lib/api/events.ts',
    text: `given.types?.some((type) => neverStored.test(type)) === true`,
    replacement: `given.types?.some((type) => neverStored.test(type)) === null`,
    test: filtered,
  },
  {
    name: 'too-many-agents-are-told-as-a-used-key',
    breaks: 'A64',
    file: 'lib/api/agents.ts',
    text: `keyed !== null && (answer['reason'] === 'other_body' || answer['reason'] === 'other_template')`,
    replacement: `keyed !== null && answer.code === 'conflict'`,
    test: {
      file: 'lib/api/agents.test.ts',
      name: 'a key is said to be used for another body only where it was: who has too many agents is told that',
    },
  },
  {
    name: 'misspelt-hook-is-never-asked',
    breaks: 'I11',
    file: 'lib/core/hooks.ts',
    text: '  checkFields(`hook ${hook.name}`, hook, Object.keys(hookFields))\n',
    replacement: '',
    test: noTemplate,
  },
]
