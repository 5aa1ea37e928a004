import type { Mutation } from '#scripts/mutations/mutation'

const parts = 'app/console/_parts'
const bodies = `${parts}/bodies.ts`
const sent = (name: string): Mutation['test'] => ({ file: `${parts}/bodies.test.ts`, name })
const edited = sent('an input that was edited is allowed as edited, and one that was left as it was asked is not sent')
const forGood = sent('a tool is allowed for good only by who has said so; a denial changes no input and allows nothing')
const dollars = sent('dollars are sent as micros; a field that was left empty limits nothing, and 0 allows nothing')
const twice = sent('what stops all is sent only when it was typed twice; one agent needs no more than its name')
const overlap: Mutation['test'] = {
  file: `${parts}/agent/use-live.test.ts`,
  name: 'deltas that overlap after a connection broke are shown once',
}
const pause: Mutation['test'] = {
  file: `${parts}/agent/timeline-scale.test.ts`,
  name: 'a pause of an hour between two seconds of work is drawn as short as an eighth of the work; all stays in order',
}

/** Faults of what the console's pages send and show, which only the conformance run with its browser could have noticed. No build is needed. */
export const foundInTheConsoleMutations: readonly Mutation[] = [
  {
    name: 'console-allows-what-was-not-edited',
    breaks: 'A35',
    file: bodies,
    text: `decision === 'allow' && input ?`,
    replacement: `decision === 'deny' && input ?`,
    test: edited,
  },
  {
    name: 'console-sends-what-it-was-asked',
    breaks: 'A35',
    file: bodies,
    text: `typed === null || typed === asked`,
    replacement: `typed === null`,
    test: edited,
  },
  {
    name: 'console-allows-for-good',
    breaks: 'A35',
    file: bodies,
    text: `decision === 'allow' && always`,
    replacement: `decision === 'allow'`,
    test: forGood,
  },
  {
    name: 'console-limit-in-cents',
    breaks: 'A59',
    file: bodies,
    text: `number('limit', 1_000_000)`,
    replacement: `number('limit', 1_000)`,
    test: dollars,
  },
  {
    name: 'console-empty-limit-allows-nothing',
    breaks: 'A59',
    file: bodies,
    text: `field(name) === '' ? null`,
    replacement: `field(name) === '' ? 0`,
    test: dollars,
  },
  {
    name: 'console-key-ends-in-minutes',
    breaks: 'A86',
    file: bodies,
    text: `* 86_400_000`,
    replacement: `* 86_400`,
    test: sent('a key ends after the days that were chosen, or never'),
  },
  {
    name: 'console-stops-all-at-once',
    breaks: 'A76',
    file: bodies,
    text: `isWide(scope) && field('again') !== scope`,
    replacement: `!isWide(scope) && field('again') === scope`,
    test: twice,
  },
  {
    name: 'console-kills-unasked',
    breaks: 'A71',
    file: `${parts}/agent/agent-actions.tsx`,
    text: `value="hold" defaultChecked`,
    replacement: `value="hold"`,
    test: sent('who chooses nothing holds, which can be taken back, and does not kill'),
  },
  {
    name: 'console-writes-without-its-word',
    breaks: 'A86',
    file: `${parts}/api.ts`,
    text: `method !== 'GET'`,
    replacement: `method === 'GET'`,
    test: { file: `${parts}/api.test.ts`, name: 'each write of a session carries its word, and no read does' },
  },
  {
    name: 'console-shows-a-text-twice',
    breaks: 'A14',
    file: `${parts}/agent/use-live.ts`,
    text: `held[kind].slice(0, offset)`,
    replacement: `held[kind]`,
    test: overlap,
  },
  {
    name: 'console-draws-pauses-whole',
    breaks: 'A14',
    file: `${parts}/agent/timeline-scale.ts`,
    text: `Math.min(gap.to - gap.from, most)`,
    replacement: `gap.to - gap.from`,
    test: pause,
  },
]
