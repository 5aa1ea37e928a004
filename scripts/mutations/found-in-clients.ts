import type { Mutation } from '#scripts/mutations/mutation'

/** Faults of what clients show, and of when they give up, that a reader of the code has found; each has its test since. */
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
    text: `Math.min(Date.now() - began, longestTryMs)`,
    replacement: `Date.now() - began`,
    test: {
      file: 'lib/client/src/follow.test.ts',
      name: 'a computer whose connection breaks as it falls asleep, and that has no network yet when it wakes, tries again',
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
  {
    name: 'steers-under-rules-of-its-own',
    breaks: 'I9',
    file: 'supabase/migrations/0004_open.sql',
    text: `    if busy = 'steer' and baton.is_apart(w.r, p -> 'run') then busy := 'enqueue'; end if;\n`,
    replacement: ``,
    test: {
      file: 'tests/engine/busy.test.ts',
      name: 'steer: under lower limits or with an address of its own a message steers nothing and becomes the next run',
    },
  },
  {
    name: 'late-steer-is-told-the-ended-run',
    breaks: 'I1',
    file: 'supabase/migrations/0003_ends.sql',
    text: `    if m.mode = 'steer' or (w.a).queued > 0 then`,
    replacement: `    if false then`,
    test: {
      file: 'tests/engine/busy.test.ts',
      name: 'steer: too late, whoever waits for the message or streams it gets the run that it came to, and a repeat under its key too',
    },
  },
  {
    name: 'cursor-beyond-the-end-is-silence',
    breaks: 'I8',
    file: 'supabase/migrations/0008_agents_and_pages.sql',
    text: `  if after > a.last_event_seq then return`,
    replacement: `  if false then return`,
    test: {
      file: 'tests/live/position.test.ts',
      name: 'invariant 8: a cursor beyond the last event is 410 too: whoever follows an agent that was made anew would be told nothing',
    },
  },
  {
    name: 'pause-with-news-after-it-ends-no-stream',
    breaks: 'I8',
    file: 'lib/api/feed.ts',
    text: `if (event.type === 'state_changed') seen.paused =`,
    replacement: `seen.paused = event.type === 'state_changed' &&`,
    test: {
      file: 'lib/api/feed.test.ts',
      name: 'a run stream ends at a pause, also where something else was told after it; not at a pause that is over, nor at one of another run',
    },
  },
  {
    name: 'deleted-agent-goes-on-for-its-caller',
    breaks: 'I12',
    file: 'lib/api/messages.ts',
    build: true,
    text: `  if (advanced?.kind === 'lease_lost') {`,
    replacement: `  if (false) {`,
    test: { file: 'tests/surface/agents.test.ts', name: 'an agent that is deleted while its caller waits: 404, not a run that goes on' },
  },
]
