import type { Mutation } from '#scripts/mutations/mutation'

const answers = (name: string): Mutation['test'] => ({ file: 'tests/store/engine-answers.test.ts', name })
const retried = (name: string): Mutation['test'] => ({ file: 'tests/store/retried.test.ts', name })
const models = (name: string): Mutation['test'] => ({ file: 'lib/models/create-models.test.ts', name })

const away = 'a provider that is away for longer than any retry waits is left to its fallback at once, by those at its gate, too'
const blank = '%s: blank text beside a call, kept for %o, is sent: %s'
const behind = 'a retry behind a run that answers has nothing to go on from: it is cancelled, and tells nothing of that answer'

/** What five readers found in the engine and in what models are asked, and was mended: planted again. */
export const foundByFiveReadersMutations: readonly Mutation[] = [
  {
    name: 'first-call-without-its-instructions',
    breaks: 'I9',
    file: 'lib/engine/model-hooks.ts',
    text: `if (!isLonger(session, plain) && (request === plain ||`,
    replacement: `if ((request === plain ||`,
    test: answers('invariant 9: the first call, too, is set aside with what a function makes of the instructions'),
  },
  {
    name: 'function-of-a-template-with-tools-is-not-looked-at',
    breaks: 'I9',
    file: 'lib/engine/model-hooks.ts',
    text: `return model.estimate(plain).inputTokens > known`,
    replacement: `return Buffer.byteLength(plain.instructions) / 3 > known`,
    test: answers('invariant 9: the first call, too, is set aside with what a function makes of the instructions'),
  },
  {
    name: 'run-that-has-not-begun-ends-for-want-of-room',
    breaks: 'I9',
    file: 'lib/engine/model-step.ts',
    text: `session.reservation.state !== 'none' && !isCovered`,
    replacement: `session.reservation.state !== 'none'`,
    test: answers('a run that has not begun waits where a wider budget has no room for such a call'),
  },
  {
    name: 'fallback-that-is-away-for-longer-is-waited-for',
    breaks: 'I11',
    file: 'lib/engine/model-failure.ts',
    text: `maxRetryMs * (1 + jitter) && session.gateMs(next) < awayMs`,
    replacement: `maxRetryMs * (1 + jitter)`,
    test: answers('a fallback that is away for longer is not asked in the place of a provider that is away'),
  },
  {
    name: 'pictures-of-nobody-stay',
    breaks: 'I11',
    file: 'supabase/migrations/0003_ends.sql',
    text: `case when e.value ->> 'type' in ('file', 'image') then`,
    replacement: `case when e.value ->> 'type' = 'file' then`,
    test: retried('a file whose own run was stopped is left out, too, once the provider has refused the request that held it'),
  },
  {
    name: 'picture-by-its-bytes',
    breaks: 'I9',
    file: 'lib/engine/open.ts',
    text: `estTokens: estimateContent(message.content)`,
    replacement: `estTokens: estimateContent(JSON.stringify(message.content))`,
    test: answers('invariant 9: a picture is set aside for by what it costs, however many bytes it has'),
  },
  {
    name: 'document-at-an-address-for-nothing',
    breaks: 'I9',
    file: 'lib/core/window.ts',
    text: `/^https?:/.test(begins) ? documentTokens : null`,
    replacement: `null`,
    test: {
      file: 'lib/core/window.test.ts',
      name: 'a picture counts by its pixels and a document at an address by its pages; what a data URL says of itself goes first',
    },
  },
  {
    name: 'cut-answer-is-asked-for-again',
    breaks: 'I11',
    file: 'lib/engine/model-step.ts',
    text: `if (answer.finish === 'length') return end(`,
    replacement: `if (answer.finish === 'other') return end(`,
    test: answers('invariant 11: an answer that is cut before it has text is told as cut, and is not asked for again'),
  },
  {
    name: 'provider-that-is-away-is-waited-for',
    breaks: 'I11',
    file: 'lib/engine/model-failure.ts',
    text: `isSooner(session, error.retryAfterMs ?? 0)`,
    replacement: `false`,
    test: answers(away),
  },
  {
    name: 'gate-of-a-provider-that-is-away-is-waited-at',
    breaks: 'I11',
    file: 'lib/engine/model-failure.ts',
    text: `code === 'provider_rate_limited' && isSooner(`,
    replacement: `code === 'rate_limited' && isSooner(`,
    test: answers(away),
  },
  {
    name: 'tool-that-is-once-since-runs-again',
    breaks: 'I4',
    file: 'lib/engine/slices.ts',
    text: `heldToOnce(opened.opened.calls, definition)`,
    replacement: `heldToOnce([], definition)`,
    test: answers('invariant 4: a call of a tool that is found to be a once tool while it is open is not made again'),
  },
  {
    name: 'second-attempt-is-told-as-none',
    breaks: 'I4',
    file: 'lib/engine/run-tool.ts',
    text: `done.state === 'completed' || call.attempts <= 1) return done`,
    replacement: `done.state === 'completed' || call.attempts <= 100) return done`,
    test: answers('invariant 4: a second attempt that is not made is not told as a call that was not executed'),
  },
  {
    name: 'allowed-again-counts-twice',
    breaks: 'I11',
    file: 'lib/core/decide.ts',
    text: `fresh.filter((call) => call.attempts === 0).length`,
    replacement: `fresh.length`,
    test: { file: 'lib/core/decide.test.ts', name: '%s' },
  },
  {
    name: 'blank-text-is-sent',
    breaks: 'I11',
    file: 'lib/models/create-models.ts',
    text: `part.text.trim() !== ''`,
    replacement: `part.text !== ''`,
    test: models(blank),
  },
  {
    name: 'blank-text-of-another-provider-is-sent',
    breaks: 'I11',
    file: 'lib/models/create-models.ts',
    text: `part.providerOptions?.[provider] !== undefined`,
    replacement: `Object.keys(part.providerOptions ?? {}).length > 0`,
    test: models(blank),
  },
  {
    name: 'signs-of-life-are-not-heard',
    breaks: 'I11',
    file: 'lib/models/create-models.ts',
    text: `include: { rawChunks: true }`,
    replacement: `include: { rawChunks: false }`,
    test: models('what a provider says beside its answer tells silent thinking from a dead connection'),
  },
  {
    name: 'retry-behind-an-answer-tells-that-answer',
    breaks: 'I11',
    file: 'supabase/migrations/0003_ends.sql',
    text: `if m.kind = 'retry' and next.started_at is null and`,
    replacement: `if m.kind = 'never' and next.started_at is null and`,
    test: retried(behind),
  },
  {
    name: 'files-that-nobody-answered-stay',
    breaks: 'I11',
    file: 'supabase/migrations/0003_ends.sql',
    text: `or refused and m.seq > coalesce(`,
    replacement: `or false and m.seq > coalesce(`,
    test: retried('a file whose own run was stopped is left out, too, once the provider has refused the request that held it'),
  },
  {
    name: 'files-behind-an-answer-go',
    breaks: 'I11',
    file: 'supabase/migrations/0003_ends.sql',
    text: `a.role = 'assistant' order by a.seq desc limit 1), 0))`,
    replacement: `a.role = 'nobody' order by a.seq desc limit 1), 0))`,
    test: retried('a file that stands behind an answer is none that the provider refuses'),
  },
]
