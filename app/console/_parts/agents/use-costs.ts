'use client'

import { useEffect, useRef, useState } from 'react'
import type { AgentView } from '#lib/core/pages'
import { call } from '#app/console/_parts/api'

const atOnce = 4

/** What each agent has cost, in micro-dollars, by agentUid. The list does not tell it, so an agent is asked for again only when it has changed. */
export function useCosts(agents: readonly AgentView[]): ReadonlyMap<string, number> {
  const [costs, setCosts] = useState<ReadonlyMap<string, number>>(new Map())
  const asked = useRef(new Map<string, string>())
  const key = agents.map(({ agentUid, updatedAt }) => `${agentUid} ${updatedAt}`).join('|')

  useEffect(() => {
    const left = new AbortController()
    const waiting = agents.filter(({ agentUid, updatedAt }) => asked.current.get(agentUid) !== updatedAt)
    const next = async (): Promise<void> => {
      for (let agent = waiting.shift(); agent !== undefined; agent = waiting.shift()) {
        const { id, agentUid, updatedAt } = agent
        const one = await call<{ costMicros: number }>('GET', `/api/agents/${encodeURIComponent(id)}`, { signal: left.signal }).catch(
          () => null,
        )
        if (left.signal.aborted) return
        if (one === null) continue
        asked.current.set(agentUid, updatedAt)
        setCosts((before) => new Map(before).set(agentUid, one.costMicros))
      }
    }
    for (let n = 0; n < atOnce; n++) void next()
    return () => left.abort()
    // The rows are asked about again when one of them has changed, and not whenever the list is read.
  }, [key])

  return costs
}
