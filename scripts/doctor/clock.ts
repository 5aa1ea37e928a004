import { teller, type Finding } from '#scripts/doctor/finding'

/** Receivers of webhooks refuse what is more than five minutes off; the database's clock stands in events and signatures. */
export function clockSkew(now: string, local: boolean): Finding {
  const { ok, fail } = teller('webhooks')
  const seconds = Math.round(Math.abs(Date.parse(now) - Date.now()) / 1_000)
  if (local || seconds <= 60) return ok(`the clocks of this machine and of the database differ by ${seconds} s`)
  return fail(
    `the clocks of this machine and of the database differ by ${seconds} s: receivers refuse signatures`,
    'Set the clock of the machine by NTP.',
  )
}
