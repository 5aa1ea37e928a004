import { expect, test } from 'vitest'
import type { Sampling } from '#lib/core/config'
import { otelRecorder } from '#lib/telemetry/otel'

const parent = (flags: '00' | '01'): string => `00-${'a'.repeat(32)}-${'b'.repeat(16)}-${flags}`

/** Whether a trace is recorded: one that begins here, one whose caller records it, and one whose caller does not. Nothing is ended, so nothing is sent. */
async function recorded(sampling: Sampling): Promise<boolean[]> {
  const { start } = await otelRecorder({ warn: () => undefined }, sampling)
  const span = { name: 'x', kind: 'internal' as const, attributes: {} }
  return [null, parent('01'), parent('00')].map((from) => start(span, from).traceparent.endsWith('-01'))
}

test.each<[Sampling['by'], number, boolean[]]>([
  ['always_on', 1, [true, true, true]],
  ['always_off', 1, [false, false, false]],
  ['traceidratio', 0, [false, false, false]],
  ['traceidratio', 1, [true, true, true]],
  ['parentbased_always_on', 1, [true, true, false]],
  ['parentbased_always_off', 1, [false, true, false]],
  ['parentbased_traceidratio', 0, [false, true, false]],
  ['parentbased_traceidratio', 1, [true, true, false]],
])('OTEL_TRACES_SAMPLER=%s with %s decides which traces are recorded', async (by, ratio, which) => {
  expect(await recorded({ by, ratio })).toEqual(which)
})
