const minuteMs = 60_000
const hourMs = 60 * minuteMs

/** What a cron can keep: minutes that come out even in an hour, hours that come out even in a day. */
export const evenPeriods = [
  ...[1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30].map((count) => ({ ms: count * minuteMs, text: `${count}m` })),
  ...[1, 2, 3, 4, 6, 8, 12, 24].map((count) => ({ ms: count * hourMs, text: `${count}h` })),
] as const
