import type { AgentUid } from '#lib/core/ids'

/** Listeners of this process by agent; it holds as many as callers have registered and not taken back. */
export interface Hub<Value> {
  /** Registers a listener; the returned function takes it back and may be called twice. */
  add(agentUid: AgentUid, listener: (value: Value) => void): () => void
  /** Calls the listeners of the agent in the order of their registration, at once. A listener that throws harms no other. */
  send(agentUid: AgentUid, value: Value): void
  /** Calls the listeners of all agents. */
  sendAll(value: Value): void
}

/** Makes a hub; `onError` is told what a listener throws. */
export function createHub<Value>(onError: (error: unknown) => void): Hub<Value> {
  const byAgent = new Map<AgentUid, Set<{ listener: (value: Value) => void }>>()
  function tell(registered: ReadonlySet<{ listener: (value: Value) => void }> | undefined, value: Value): void {
    // A copy: a listener may take itself back, or add another, while it is called.
    for (const registration of Array.from(registered ?? [])) {
      try {
        registration.listener(value)
      } catch (error) {
        onError(error)
      }
    }
  }
  return {
    add(agentUid, listener) {
      const registration = { listener }
      const registered = byAgent.get(agentUid) ?? new Set()
      registered.add(registration)
      byAgent.set(agentUid, registered)
      return () => {
        registered.delete(registration)
        if (registered.size === 0 && byAgent.get(agentUid) === registered) byAgent.delete(agentUid)
      }
    },
    send: (agentUid, value) => tell(byAgent.get(agentUid), value),
    sendAll(value) {
      for (const registered of Array.from(byAgent.values())) tell(registered, value)
    },
  }
}
