import type { Mutation } from '#scripts/mutations/mutation'

const adopt = 'scripts/adopt.test.ts'
const doctor = 'scripts/doctor/models.test.ts'
const options = 'lib/testing/options.test.ts'
const numbers = 'lib/core/numbers.test.ts'

/** Faults of what surrounds the product that a newcomer met who followed the documents word for word, planted again. `breaks` is what could not be had. No build is needed. */
export const foundByNewcomersMutations: readonly Mutation[] = [
  {
    name: 'adopt-needs-a-package',
    breaks: 'A1',
    file: 'scripts/adopt.ts',
    text: `import { parseArgs } from 'node:util'\n`,
    replacement: `import { parseArgs } from 'node:util'\nimport 'zod'\n`,
    test: { file: adopt, name: 'it runs first, in an app where no package is installed' },
  },
  {
    name: 'type-that-only-our-tsconfig-takes',
    breaks: 'A1',
    file: 'lib/providers.ts',
    text: `headers: { ...(apiKey && { authorization: \`Bearer \${apiKey}\` }) } }),`,
    replacement: `headers: apiKey ? { authorization: \`Bearer \${apiKey}\` } : {} }),`,
    test: { file: adopt, name: 'what the app then imports of Baton passes the type check of its build, under the usual tsconfig.json' },
  },
  {
    name: 'variables-of-the-app-around-are-not-read',
    breaks: 'A1',
    file: 'scripts/operator/environment.ts',
    text: `...(hasStubs('..') ? ['../.env.local'] : [])`,
    replacement: ``,
    test: {
      file: 'scripts/migrate.test.ts',
      name: 'the database of .env.local is found, also of that of an app around Baton, as the doctor finds it that sends one here',
    },
  },
  {
    name: 'migrations-known-to-our-own-build-alone',
    breaks: 'I11',
    file: 'lib/env.ts',
    text: `    migrations,\n`,
    replacement: `    migrations: [],\n`,
    test: { file: 'lib/env.test.ts', name: 'production needs little and has the defaults of the contract' },
  },
  {
    name: 'doctor-fails-the-scripted-model',
    breaks: 'A54',
    file: 'scripts/doctor/models.ts',
    text: `if (local && splitModel(name).provider === 'local')`,
    replacement: `if (local && splitModel(name).provider === 'scripted')`,
    test: { file: doctor, name: 'the scripted model of the local stack is well there and nowhere else' },
  },
  {
    name: 'doctor-leaves-out-the-models-of-overrides',
    breaks: 'A54',
    file: 'scripts/doctor/models.ts',
    text: `for (const name of allowedModels(template)) {`,
    replacement: `for (const name of [template.model, ...(template.fallback ?? [])]) {`,
    test: { file: doctor, name: 'fallbacks are looked at, and the models that an override may name' },
  },
  {
    name: 'server-that-fails-is-waited-for-in-silence',
    breaks: 'I11',
    file: 'local/stack/parts.ts',
    text: `if (failures === 2)`,
    replacement: `if (failures < 0)`,
    test: {
      file: 'local/stack.test.ts',
      name: 'a server that listens and fails is told at once, with the end of its log, and starts when it is mended',
    },
  },
  {
    name: 'default-that-the-documents-do-not-name',
    breaks: 'I11',
    file: 'lib/core/limits.ts',
    text: `  maxWallMs: 15 * 60_000,`,
    replacement: `  maxWallMs: 20 * 60_000,`,
    test: {
      file: 'tests/hooks/documents.test.ts',
      name: 'every field of templates, tools and their context is described, with the default that the code has',
    },
  },
  {
    name: 'endless-number-in-a-template',
    breaks: 'A1',
    file: 'lib/core/numbers.ts',
    text: `if (fits && value >= least && value <= most) continue`,
    replacement: `if (typeof value === 'number') continue`,
    test: { file: numbers, name: 'the words say what to write' },
  },
  {
    name: 'limit-that-is-undefined-has-no-default',
    breaks: 'A1',
    file: 'lib/core/limits.ts',
    text: `...given(definition.limits)`,
    replacement: `...definition.limits`,
    test: { file: numbers, name: 'a field that is there and undefined has its default' },
  },
  {
    name: 'enabled-again-and-still-waiting',
    breaks: 'I11',
    file: 'supabase/migrations/0024_webhook_endpoints.sql',
    text: `or y.next_at > baton.clock() and`,
    replacement: `or false and`,
    test: {
      file: 'tests/webhooks/queue.test.ts',
      name: 'an endpoint that is enabled again or moved gets at once what waits, whenever its next try was; what is in hand is left to its attempt',
    },
  },
  {
    name: 'time-outs-of-test-agent-pass-at-once',
    breaks: 'A1',
    file: 'lib/testing/test-agent.ts',
    text: `clock: { ...systemClock(), random: () => 0.5 },`,
    replacement: `clock: { ...systemClock(), random: () => 0.5, sleep: () => new Promise((resolve) => setImmediate(resolve)) },`,
    test: { file: options, name: 'what the template’s own code takes its time for has the time that it has in production' },
  },
  {
    name: 'stand-in-for-no-tool',
    breaks: 'A1',
    file: 'lib/testing/options.ts',
    text: `...toolProblems(definition, options),`,
    replacement: `...toolProblems(definition, {}),`,
    test: { file: options, name: 'what the API would refuse, and names of tools that are none, are told and nothing runs' },
  },
  {
    name: 'limit-of-a-test-above-the-template',
    breaks: 'A1',
    file: 'lib/testing/options.ts',
    text: `&& value > limit ?`,
    replacement: `&& value < 0 ?`,
    test: { file: options, name: 'what the API would refuse, and names of tools that are none, are told and nothing runs' },
  },
  {
    name: 'rule-of-a-test-for-no-tool',
    breaks: 'A1',
    file: 'lib/testing/options.ts',
    text: `return narrow({ permission: parsed.data }, definition).problems.map(`,
    replacement: `return narrow({}, definition).problems.map(`,
    test: { file: options, name: 'what the API would refuse, and names of tools that are none, are told and nothing runs' },
  },
  {
    name: 'stand-in-that-every-object-has',
    breaks: 'A1',
    file: 'lib/testing/options.ts',
    text: `Object.hasOwn(record, name)`,
    replacement: `name in record`,
    test: { file: options, name: 'a tool may have the name of what every object has' },
  },
  {
    name: 'result-from-outside-unlooked-at-in-a-test',
    breaks: 'A1',
    file: 'lib/testing/options.ts',
    text: `if (parsed?.success === false)`,
    replacement: `if (parsed === null)`,
    test: { file: options, name: 'a result from outside fits what the tool says of its output' },
  },
  {
    name: 'filter-that-generated-clients-cannot-send',
    breaks: 'A1',
    file: 'lib/api/openapi/document.ts',
    text: `style: 'form',`,
    replacement: `style: 'deepObject',`,
    test: {
      file: 'tests/project/openapi.test.ts',
      name: 'has parameters whose names the caller makes in a form that generated clients send as they are',
    },
  },
]
