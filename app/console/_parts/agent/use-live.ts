'use client'

import { useEffect, useRef, useState } from 'react'
import { follow, type StreamFrame } from '#app/console/_parts/events'
import type { TimelineEvent } from '#app/console/_parts/agent/timeline-model'

/** An answer that is being written. */
export interface LiveText {
  runId: string
  step: number
  text: string
  reasoning: string
}

/** What comes by the agent's event stream. */
export interface Live {
  /** Durable events since the page was opened, oldest first. */
  events: readonly TimelineEvent[]
  text: LiveText | null
  connected: boolean
}

/** The most events that a page keeps; older ones are read again when their run is looked at. */
const mostEvents = 2_000

/** Applies a frame to the text that is being written: offsets make overlaps harmless, `step_reset` voids it. */
export function nextText(before: LiveText | null, { type, data }: StreamFrame): LiveText | null {
  const runId = String(data['runId'])
  const step = Number(data['step'] ?? 0)
  const current = before?.runId === runId && before.step === step ? before : null
  const kind = type.startsWith('reasoning') ? 'reasoning' : 'text'
  switch (type) {
    case 'text_start':
    case 'reasoning_start':
      return { ...(current ?? { runId, step, text: '', reasoning: '' }), [kind]: '' }
    case 'text_delta':
    case 'reasoning_delta': {
      const held = current ?? { runId, step, text: '', reasoning: '' }
      const offset = Number(data['offset'] ?? 0)
      return { ...held, [kind]: held[kind].slice(0, offset) + (typeof data['text'] === 'string' ? data['text'] : '') }
    }
    case 'step_reset':
    case 'done':
      return null
    default:
      return before
  }
}

/** Follows all runs of an agent from a number on; null waits. `onEvent` hears each durable event once. */
export function useLive(agent: string, after: number | null, onEvent: (event: TimelineEvent) => void): Live & { settleText: () => void } {
  const [events, setEvents] = useState<readonly TimelineEvent[]>([])
  const [text, setText] = useState<LiveText | null>(null)
  const [connected, setConnected] = useState(false)
  const hear = useRef(onEvent)
  useEffect(() => {
    hear.current = onEvent
  })

  useEffect(() => {
    if (after === null) return
    const left = new AbortController()
    const seen = new Set<number>()
    void follow({
      path: `/api/agents/${encodeURIComponent(agent)}/events`,
      after,
      page: document,
      signal: left.signal,
      onLive: setConnected,
      onGap: () => {
        seen.clear()
        setEvents([])
        setText(null)
      },
      onFrame: (frame) => {
        setText((before) => nextText(before, frame))
        if (frame.seq === null || seen.has(frame.seq)) return
        seen.add(frame.seq)
        const event = frame.data as unknown as TimelineEvent
        setEvents((before) => [...before, event].slice(-mostEvents))
        hear.current(event)
      },
    })
    return () => left.abort()
  }, [agent, after])

  return { events, text, connected, settleText: () => setText(null) }
}
