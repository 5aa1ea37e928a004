import { createHash, timingSafeEqual } from 'node:crypto'
import { createSignIn } from '#lib/access/sign-in'
import { createUserCheck } from '#lib/access/users'
import type { AccessConfig } from '#lib/core/config'
import type { AccessPort, Clock } from '#lib/core/ports'

/** How long "nobody can authenticate", or no answer, is believed before the database is asked again, in milliseconds. */
const askAgainMs = 5_000

/** Checks the credentials that this process can check alone: the admin key and users' tokens. API keys are the database's. */
export function createAccess(options: {
  access: AccessConfig
  metricsToken: string | null
  clock: Pick<Clock, 'now' | 'monotonic'>
  /** Whether any API key could let anybody in. */
  hasKeys: () => Promise<boolean>
  /** The Supabase project whose users may sign in. */
  supabase: { url: string; secretKey: string }
}): AccessPort {
  const { access, clock, hasKeys, supabase } = options
  const adminHash = access.adminKey === null ? null : sha256(access.adminKey)
  const metricsHash = options.metricsToken === null ? null : sha256(options.metricsToken)
  let setUp = access.adminKey !== null || access.users.enabled
  let asked: { at: number; answer: Promise<boolean> } | null = null

  return {
    // Hashes have one length, so that the comparison tells nothing of the key's.
    isAdminKey: (text) => adminHash !== null && timingSafeEqual(sha256(text), adminHash),
    isMetricsToken: (text) => metricsHash !== null && timingSafeEqual(sha256(text), metricsHash),
    verifyUser: createUserCheck(access.users, () => clock.now()),
    signIn: access.users.enabled ? createSignIn(supabase) : null,
    async isSetUp() {
      if (setUp) return true
      const now = clock.monotonic()
      // A failure is kept as long as an answer: callers without credentials are no reason to ask a database that is away.
      if (asked === null || now - asked.at >= askAgainMs) asked = { at: now, answer: hasKeys() }
      setUp = await asked.answer
      return setUp
    },
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
