import type { Mutation } from '#scripts/mutations/mutation'

/** Faults of what clients show, and of when they give up, that a reader of the code has found; each has its test since. No build is needed. */
export const foundInClientsMutations: readonly Mutation[] = [
  {
    name: 'repeated-step-goes-to-closed-parts',
    breaks: 'A14',
    file: 'lib/api/chat-chunks.ts',
    text: `    if (this.step?.complete === false) return []\n`,
    replacement: `    if (this.step !== null && (!this.step.complete || this.step.text !== null || this.step.reasoning !== null)) return []\n`,
    test: {
      file: 'lib/api/chat-chunks.test.ts',
      name: 'a model call after an answer without words is a step of its own, though its number is the same',
    },
  },
  {
    name: 'client-gives-up-when-it-wakes',
    breaks: 'A16',
    file: 'lib/client/src/follow.ts',
    text: `lostAt = null`,
    replacement: `lostAt = Date.now()`,
    test: {
      file: 'lib/client/src/follow.test.ts',
      name: 'who leaves a stream finds it again later',
    },
  },
  {
    name: 'replay-shows-old-texts-again',
    breaks: 'I8',
    file: 'lib/client/src/shown.ts',
    text: `    if (this.behind && event.seq === undefined) return []\n`,
    replacement: ``,
    test: {
      file: 'lib/client/src/shown.test.ts',
      name: 'a stream that is told from its first event again, to who may not read it from the middle: nothing comes twice',
    },
  },
  {
    name: 'text-of-a-past-step-hides-the-next',
    breaks: 'I8',
    file: 'lib/client/src/shown.ts',
    text: `      this.stored = { step: null, texts: {} }\n`,
    replacement: ``,
    test: {
      file: 'lib/client/src/shown.test.ts',
      name: 'the text of a step that is over is no measure for the next one of its number: of another run, or after an answer without words',
    },
  },
  {
    name: 'text-goes-on-from-a-dropped-answer',
    breaks: 'I2',
    file: 'lib/client/src/text.ts',
    text: `text.slice(0, event.offset)`,
    replacement: `text`,
    test: {
      file: 'lib/client/src/shown.test.ts',
      name: 'the text of a step that is over is no measure for the next one of its number: of another run, or after an answer without words',
    },
  },
]
