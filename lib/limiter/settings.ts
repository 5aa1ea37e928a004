import { reasonOf } from '#lib/core/errors'
import type { Clock, Log } from '#lib/core/ports'
import type { RateCaller, TenantLimits } from '#lib/core/rate'
import type { Authority, Credential } from '#lib/core/store'

/** What the database knows of a caller, or of a tenant where no caller asks. */
export interface KnownLimits {
  tenant: string
  caller: string | null
  limits: TenantLimits
}

/** Asks the database; null where the credential is refused. */
export interface LimitsSource {
  ofCaller(authority: Authority): Promise<KnownLimits | null>
  ofTenant(tenant: string): Promise<KnownLimits | null>
}

/** The limits of tenants and the tenants of keys, remembered in this process. */
export interface LimitSettings {
  /** Asks the database only for what this process does not know yet, or what has been announced to have changed. */
  of(authority: Authority): Promise<{ who: RateCaller; limits: TenantLimits }>
  ofTenant(tenant: string): Promise<TenantLimits>
  /** An announcement that was read beside a check: what is remembered from before it is asked for again. */
  note(marker: string | null): void
  forget(): void
  /** Another number after each announcement. */
  version(): number
}

/** Settings are used for so long without asking; then they are asked for beside the work, which goes on with the old ones. */
const freshMs = 30_000
/** After a failure nobody asks for so long: what was known before, or the defaults, hold. */
const pauseMs = 2_000
const mostTenants = 1_000
const mostKeys = 10_000

interface Entry {
  limits: TenantLimits
  /** Monotonic: when they were asked for; asked for again after `nextAt`. */
  nextAt: number
  version: number
  loading: Promise<void> | null
  loadingVersion?: number
}

/** Makes the memory over a source. */
export function createLimitSettings(source: LimitsSource, clock: Pick<Clock, 'monotonic'>, log: Log): LimitSettings {
  const tenants = new Map<string, Entry>()
  const keys = new Map<string, { known: Promise<KnownLimits | null>; nextAt: number }>()
  let marker: string | null = null
  let version = 0

  /** Null after a failure too: what was known before, or the defaults, hold. */
  async function ask(question: () => Promise<KnownLimits | null>): Promise<KnownLimits | null> {
    try {
      return await question()
    } catch (error) {
      log.warn('limits could not be read; what was known before holds', { error: reasonOf(error) })
      return null
    }
  }

  function take(tenant: string, asked: number, known: KnownLimits | null): void {
    const limits = known?.limits ?? tenants.get(tenant)?.limits ?? {}
    keep(tenants, mostTenants, tenant, {
      limits,
      nextAt: clock.monotonic() + (known === null ? pauseMs : freshMs),
      version: asked,
      loading: null,
    })
  }

  async function ofTenant(tenant: string): Promise<TenantLimits> {
    const entry = tenants.get(tenant)
    const load = async (asked: number): Promise<void> => take(tenant, asked, await ask(() => source.ofTenant(tenant)))
    if (entry !== undefined && entry.version === version) {
      if (clock.monotonic() >= entry.nextAt) entry.loading ??= load(version)
      return entry.limits
    }
    if (entry?.loading != null && entry.loadingVersion === version) await entry.loading
    else {
      const loading = load(version)
      const known = { limits: entry?.limits ?? {}, nextAt: 0, version: version - 1 }
      keep(tenants, mostTenants, tenant, { ...known, loading, loadingVersion: version })
      await loading
    }
    return tenants.get(tenant)?.limits ?? {}
  }

  /** The key's tenant and id, which never change; null where the database refuses it. Many at once ask once. */
  function ofKey(authority: Authority, keyHash: string): Promise<KnownLimits | null> {
    const entry = keys.get(keyHash)
    if (entry !== undefined && clock.monotonic() < entry.nextAt) return entry.known
    const asked = version
    const asking = { nextAt: Number.POSITIVE_INFINITY, known: ask(() => source.ofCaller(authority)) }
    keep(keys, mostKeys, keyHash, asking)
    void asking.known.then((known) => {
      if (known === null) asking.nextAt = clock.monotonic() + pauseMs
      else take(known.tenant, asked, known)
    })
    return asking.known
  }

  return {
    async of(authority) {
      const { credential } = authority
      const caller = callerOf(credential)
      if (caller !== null) return { who: caller, limits: await ofTenant(caller.tenant ?? '') }
      const keyHash = 'keyHash' in credential ? credential.keyHash : ''
      const known = await ofKey(authority, keyHash)
      if (known === null) return { who: { tenant: null, caller: null, keyHash }, limits: {} }
      return { who: { tenant: known.tenant, caller: known.caller, keyHash }, limits: await ofTenant(known.tenant) }
    },
    ofTenant,
    note(received) {
      if (received === null || received === marker) return
      marker = received
      version += 1
    },
    forget() {
      version += 1
    },
    version: () => version,
  }
}

/** Who calls, where the process knows it by itself; null for an API key, which the database resolves. */
function callerOf(credential: Credential): RateCaller | null {
  if ('user' in credential) return { tenant: credential.user.tenant, caller: `user:${credential.user.id}`, keyHash: null }
  if ('operator' in credential) return { tenant: credential.operator.tenant, caller: credential.operator.name, keyHash: null }
  if ('stream' in credential) return { tenant: credential.stream.tenant, caller: `stream:${credential.stream.agentUid}`, keyHash: null }
  return null
}

function keep<Value>(map: Map<string, Value>, most: number, name: string, value: Value): void {
  map.delete(name)
  if (map.size >= most) for (const oldest of map.keys()) if (map.delete(oldest)) break
  map.set(name, value)
}
