import type { Mutation } from '#scripts/mutations/mutation'

const calls = (name: string): Mutation['test'] => ({ file: 'tests/store/engine-calls.test.ts', name })
const asked = calls(
  'invariant 10: a tool does not begin when its run is to stop since its limit was asked, and nobody is told that it may have happened',
)

/** Faults of what is told of a call that was stopped before its tool began. No build is needed. */
export const neverBeganMutations: readonly Mutation[] = [
  {
    name: 'stopped-run-begins-a-tool',
    breaks: 'I10',
    file: 'lib/engine/run-tool.ts',
    text: `  if (session.signal.aborted) return notBegun(session, call)\n`,
    replacement: ``,
    test: asked,
  },
  {
    name: 'tool-that-never-began-may-have-happened',
    breaks: 'I4 I9',
    file: 'lib/engine/run-tool.ts',
    text: `  if (session.signal.aborted) return notBegun(session, call)\n`,
    replacement: `  if (session.signal.aborted) return aborted(session, call, new AbortController().signal, false)\n`,
    test: asked,
  },
  {
    name: 'earlier-attempt-is-forgotten',
    breaks: 'I4',
    file: 'lib/engine/run-tool.ts',
    text: `  if (call.attempts > 1) return aborted(session, call, new AbortController().signal, false)\n`,
    replacement: ``,
    test: calls('of a call that had begun before nobody is told that it has not happened'),
  },
]
