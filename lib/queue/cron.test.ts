import { expect, test } from 'vitest'
import { evenPeriods } from '#lib/core/periods'
import { cronOf } from '#lib/queue/cron'

const hourMs = 3_600_000

/** How often the minute and hour fields of an expression hold in a day. */
function timesADay(expression: string): number {
  const [minute = '', hour = ''] = expression.split(' ')
  const held = (field: string, size: number) =>
    Array.from({ length: size }, (_, at) => at).filter((at) => {
      const step = /^\*(?:\/(\d+))?$/.exec(field)
      return step === null ? at === Number(field) : at % Number(step[1] ?? 1) === 0
    }).length
  return held(minute, 60) * held(hour, 24)
}

test('each even period fires as often in a day as it says', () => {
  for (const { ms, text } of evenPeriods) expect([text, timesADay(cronOf(ms))]).toEqual([text, (24 * hourMs) / ms])
})

test('seconds, and what is even in no hour, for the local executor', () => {
  expect([500, 2_000, 90_000, 1.4 * hourMs].map(cronOf)).toEqual(['*/1 * * * * *', '*/2 * * * * *', '*/2 * * * *', '0 */1 * * *'])
})
