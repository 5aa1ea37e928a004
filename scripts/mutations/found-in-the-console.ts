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

/** Faults of what the console's pages send and show, which only the conformance run with its browser could have noticed, and those that a reader found there. No build is needed. */
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
  {
    name: 'console-interrupts-what-follows',
    breaks: 'A9',
    file: `${parts}/bodies.ts`,
    text: `return { runId, ...`,
    replacement: `return { ...`,
    test: sent('an interrupt names the run that was looked at, so that it cannot end the one that has followed'),
  },
  {
    name: 'console-shows-a-run-that-waits',
    breaks: 'A14',
    file: `${parts}/agent/run-choice.ts`,
    text: `named(chosen) ?? named(active) ?? begun`,
    replacement: `named(chosen) ?? begun`,
    test: {
      file: `${parts}/agent/run-choice.test.ts`,
      name: 'the run that holds the agent is shown, though others are newer: they wait, were cancelled while they waited, or it went ahead of them',
    },
  },
  {
    name: 'console-forgets-the-chosen-run',
    breaks: 'A14',
    file: `${parts}/agent/run-choice.ts`,
    text: `named(chosen) ?? named(active)`,
    replacement: `named(active) ?? named(chosen)`,
    test: {
      file: `${parts}/agent/run-choice.test.ts`,
      name: 'the run that holds the agent is shown, though others are newer: they wait, were cancelled while they waited, or it went ahead of them',
    },
  },
  {
    name: 'console-keeps-the-older-reading',
    breaks: 'A14',
    file: `${parts}/agent/run-choice.ts`,
    text: `      .toReversed()
`,
    replacement: ``,
    test: { file: `${parts}/agent/run-choice.test.ts`, name: 'runs of several lists stand once, newest first, as the first list has them' },
  },
  {
    name: 'console-word-goes-stale',
    breaks: 'A86',
    file: `${parts}/api.ts`,
    text: `if (!isStale || !(await renew())) throw error`,
    replacement: `throw error`,
    test: {
      file: `${parts}/api.test.ts`,
      name: 'a write with the word of an older session is repeated once with the new one for the same caller, and not for another',
    },
  },
  {
    name: 'console-repeats-for-another-caller',
    breaks: 'A86',
    file: `${parts}/api.ts`,
    text: `!(await renew())`,
    replacement: `(await renew(), false)`,
    test: {
      file: `${parts}/api.test.ts`,
      name: 'a write with the word of an older session is repeated once with the new one for the same caller, and not for another',
    },
  },
  {
    name: 'console-asks-the-newer-session',
    breaks: 'A86',
    file: `${parts}/api.ts`,
    text: `!(await renew())`,
    replacement: `!(await link.renew())`,
    test: {
      file: `${parts}/api.test.ts`,
      name: 'a write with the word of an older session is repeated once with the new one for the same caller, and not for another',
    },
  },
  {
    name: 'console-repeats-every-refusal',
    breaks: 'A86',
    file: `${parts}/api.ts`,
    text: `error.body['reason'] === 'csrf'`,
    replacement: `error.body['reason'] !== undefined`,
    test: { file: `${parts}/api.test.ts`, name: 'a refusal for any other reason is not repeated' },
  },
  {
    name: 'console-leaves-the-end',
    breaks: 'A14',
    file: `${parts}/agent/end-of-chat.ts`,
    text: `return before || restOf(box) < near`,
    replacement: `return restOf(box) < near`,
    test: {
      file: `${parts}/agent/end-of-chat.test.ts`,
      name: 'text that comes between a scroll of our own and its event does not end the following',
    },
  },
  {
    name: 'console-drags-the-reader-down',
    breaks: 'A14',
    file: `${parts}/agent/end-of-chat.ts`,
    text: `if (box.scrollTop < top) return false`,
    replacement: `if (box.scrollTop < top) return before || restOf(box) < near`,
    test: {
      file: `${parts}/agent/end-of-chat.test.ts`,
      name: 'who goes up to read is left there, and who comes back to the end follows it again',
    },
  },
  {
    name: 'console-shows-drafts-of-others',
    breaks: 'A86',
    file: `${parts}/drafts.ts`,
    text: `JSON.stringify([actor, name])`,
    replacement: `JSON.stringify([name])`,
    test: { file: `${parts}/drafts.test.ts`, name: 'a draft is kept for who typed it, and shown to no other caller' },
  },
  {
    name: 'console-failure-stays',
    breaks: 'A14',
    file: `${parts}/rounds.ts`,
    text: `everyMs === undefined && failures === 0`,
    replacement: `everyMs === undefined`,
    test: {
      file: `${parts}/rounds.test.ts`,
      name: 'what has no pace and failed is asked for until it went well, also when the page is looked at again, and then no more',
    },
  },
  {
    name: 'console-reads-one-page-of-usage',
    breaks: 'A59',
    file: `${parts}/read-all.ts`,
    text: `    if (nextCursor === null) break
`,
    replacement: `    break
`,
    test: { file: `${parts}/read-all.test.ts`, name: 'a list is read to its end, each page behind the one before' },
  },
  {
    name: 'console-shows-one-limit',
    breaks: 'A59',
    file: `${parts}/budgets/limits.ts`,
    text: `counted('tokens', limitTokens`,
    replacement: `if (lines.length === 0) counted('tokens', limitTokens`,
    test: {
      file: `${parts}/budgets/limits.test.ts`,
      name: 'each limit of a budget has its line: the tokens may be used up while there are dollars',
    },
  },
  {
    name: 'console-run-works-for-ever',
    breaks: 'A14',
    file: `${parts}/agent/timeline-model.ts`,
    text: `!ended && endedAt !== null`,
    replacement: `ended && endedAt !== null`,
    test: {
      file: `${parts}/agent/timeline-model.test.ts`,
      name: 'a run that has ended is at work no more, though its end is not among the events that were read',
    },
  },
  {
    name: 'console-waits-after-quiet-streams',
    breaks: 'A14',
    file: `${parts}/events.ts`,
    text: `if (Date.now() - since >= wellMs) `,
    replacement: `if (since === 0) `,
    test: {
      file: `${parts}/events.test.ts`,
      name: 'streams of an agent that does nothing are followed one upon the other, however many end; one that ends at once is waited for',
    },
  },
  {
    name: 'console-streams-unseen',
    breaks: 'A14',
    file: `${parts}/events.ts`,
    text: `const unseen = page === undefined ?`,
    replacement: `const unseen = page !== null ?`,
    test: {
      file: `${parts}/events.test.ts`,
      name: 'a page that nobody looks at gives its stream back after 10 s, and takes it up again when it is shown',
    },
  },
  {
    name: 'console-drops-a-stream-in-use',
    breaks: 'A14',
    file: `${parts}/looked.ts`,
    text: `    clearTimeout(timer)
    if (page.hidden)`,
    replacement: `    if (page.hidden)`,
    test: {
      file: `${parts}/events.test.ts`,
      name: 'a page that nobody looks at gives its stream back after 10 s, and takes it up again when it is shown',
    },
  },
]
