import { z } from 'zod'
import type { AccessPort } from '#lib/core/ports'
import { BatonError } from '#lib/core/errors'

/** The project answers within so long, in milliseconds, or the user is told to try again. */
const timeoutMs = 5_000
const granted = z.object({ access_token: z.string().min(1), expires_in: z.number().positive() })

/**
 * Signs users of the Supabase project in with e-mail and password, from the server, so that the page never holds their token. The
 * promise rejects with BatonError unauthorized, rate_limited or sign_in_unavailable; no message repeats what was typed.
 */
export function createSignIn({ url, secretKey }: { url: string; secretKey: string }): NonNullable<AccessPort['signIn']> {
  return async (email, password) => {
    const unavailable = (cause: unknown): never => {
      throw new BatonError('sign_in_unavailable', 'The Supabase project does not answer. Nobody was signed in.', {}, { cause })
    }
    const response = await fetch(`${url.replace(/\/$/, '')}/auth/v1/token?grant_type=password`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', apikey: secretKey },
      body: JSON.stringify({ email, password }),
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    }).catch(unavailable)
    if (response.status === 429) throw new BatonError('rate_limited', 'Supabase takes no more sign-ins just now. Try again in a minute.')
    if (response.status >= 500) return unavailable(new Error(`status ${response.status}`))
    if (!response.ok) throw new BatonError('unauthorized', 'E-mail and password do not match a user.')
    const answer = granted.safeParse(await response.json().catch(unavailable))
    return answer.success ? { token: answer.data.access_token, forMs: answer.data.expires_in * 1_000 } : unavailable(answer.error)
  }
}
