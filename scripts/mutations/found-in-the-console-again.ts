import type { Mutation } from '#scripts/mutations/mutation'

const parts = 'app/console/_parts'
const endOfChat = `${parts}/agent/end-of-chat.ts`
const choice = `${parts}/agent/run-choice.ts`
const reader = `${parts}/agent/run-reader.ts`
const upALittle: Mutation['test'] = {
  file: `${parts}/agent/end-of-chat.test.ts`,
  name: 'who goes up by a little while text comes is not pulled back; a box that has become shorter is still at its end',
}
const told: Mutation['test'] = {
  file: `${parts}/drafts.test.ts`,
  name: 'whoever shows a draft is told of each change, also of one that an older page makes, until they are told no more',
}
const comesBack: Mutation['test'] = {
  file: `${parts}/tries.test.ts`,
  name: 'who comes back to the page and sends the same words the same way sends the same message, until its answer is there',
}
const asked: Mutation['test'] = {
  file: `${parts}/agent/run-choice.test.ts`,
  name: 'while the run that holds the agent is asked for, the one that was looked at stays, as the list has it, and none that only waits is shown',
}
const listed = (name: string): Mutation['test'] => ({ file: `${parts}/agent/run-reader.test.ts`, name })

/** Faults that a second reader found in the console's pages: what outlives a page, what is followed, and which runs are listed. No build is needed. */
export const foundInTheConsoleAgainMutations: readonly Mutation[] = [
  {
    name: 'console-keeps-what-was-sent-in-the-box',
    breaks: 'A14',
    file: `${parts}/drafts.ts`,
    text: `      else held.set(keyOf(actor, name), value)
      tell()
`,
    replacement: `      else held.set(keyOf(actor, name), value)
`,
    test: told,
  },
  {
    name: 'console-signs-out-and-shows-drafts',
    breaks: 'A86',
    file: `${parts}/drafts.ts`,
    text: `      held.clear()
      tell()
`,
    replacement: `      held.clear()
`,
    test: told,
  },
  {
    name: 'console-message-twice-after-leaving',
    breaks: 'A13',
    file: `${parts}/tries.ts`,
    text: `      keep({ what, made })
`,
    replacement: ``,
    test: comesBack,
  },
  {
    name: 'console-try-outlives-its-answer',
    breaks: 'A13',
    file: `${parts}/tries.ts`,
    text: `if (read()?.made === made) keep(undefined)`,
    replacement: `if (read()?.made !== made) keep(undefined)`,
    test: comesBack,
  },
  {
    name: 'console-forgets-how-it-was-sent',
    breaks: 'A13',
    file: `${parts}/agent/send-message.ts`,
    text: `crypto.randomUUID(), way, onBusy:`,
    replacement: `crypto.randomUUID(), way: 'enqueue', onBusy:`,
    test: comesBack,
  },
  {
    name: 'console-late-answer-ends-another-try',
    breaks: 'A13',
    file: `${parts}/tries.ts`,
    text: `if (read()?.made === made) keep(undefined)`,
    replacement: `keep(undefined)`,
    test: {
      file: `${parts}/tries.test.ts`,
      name: 'an answer that comes late ends its own try, and not that of what was sent since',
    },
  },
  {
    name: 'console-lists-one-page-of-runs',
    breaks: 'A14',
    file: reader,
    text: `cursor !== null && data.length < most`,
    replacement: `cursor !== null && data.length < 0`,
    test: listed('no more runs are read than were asked for, in pages as large as the API has them'),
  },
  {
    name: 'console-lists-newest-runs-alone',
    breaks: 'A14',
    file: reader,
    text: `Math.min(pageSize, most - data.length)`,
    replacement: `Math.min(20, most - data.length)`,
    test: listed('no more runs are read than were asked for, in pages as large as the API has them'),
  },
  {
    name: 'console-flaps-to-a-run-that-waits',
    breaks: 'A14',
    file: choice,
    text: `run: alone.loading ? (`,
    replacement: `run: alone.loading && alone.data !== null ? (`,
    test: asked,
  },
  {
    name: 'console-loses-the-run-between-readings',
    breaks: 'A14',
    file: choice,
    text: `alone.loading ? before : alone.data`,
    replacement: `alone.data`,
    test: asked,
  },
  {
    name: 'console-pulls-the-reader-back',
    breaks: 'A14',
    file: endOfChat,
    text: `  if (isAtEnd(box)) return true
`,
    replacement: `  if (restOf(box) < near) return true
`,
    test: upALittle,
  },
  {
    name: 'console-leaves-the-end-that-rises',
    breaks: 'A14',
    file: endOfChat,
    text: `  if (isAtEnd(box)) return true
`,
    replacement: ``,
    test: upALittle,
  },
]
