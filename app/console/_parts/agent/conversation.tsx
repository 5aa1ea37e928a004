'use client'

import dynamic from 'next/dynamic'
import { useCallback, useEffect, useLayoutEffect, useRef, type MouseEvent, type RefObject } from 'react'
import { followsEnd, isAtEnd } from '#app/console/_parts/agent/end-of-chat'
import type { LiveText } from '#app/console/_parts/agent/use-live'
import { ToolCallCard, type CallRecord } from '#app/console/_parts/agent/tool-call.tsx'
import { Empty } from '#app/console/_parts/bits.tsx'
import { clockTime, shown } from '#app/console/_parts/format'

const RichText = dynamic(() => import('#app/console/_parts/agent/rich-text.tsx'), { ssr: false })

/** A row of GET /api/agents/{id}/messages; what waits in the queue has no number. */
export interface MessageRow {
  seq?: number
  runId: string
  role: 'system' | 'user' | 'assistant' | 'tool'
  content: unknown
  at: string
  state: string
}

interface Part {
  type: string
  text?: string
  toolCallId?: string
  toolName?: string
  input?: unknown
  filename?: string
  mediaType?: string
}

function partsOf(content: unknown): Part[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }]
  return Array.isArray(content) ? (content as Part[]) : []
}

/** The conversation as a chat; answers that are being written follow the stored ones. */
export function Conversation({
  messages,
  calls,
  live,
  earlier,
  sent,
}: {
  messages: readonly MessageRow[]
  calls: ReadonlyMap<string, CallRecord>
  live: LiveText | null
  earlier: (() => void) | null
  /** How many messages were sent from here: who sends one wants to see what comes of it. */
  sent: number
}) {
  const { box, lines, onScroll, onClick } = useEnd(sent, messages[0]?.seq ?? Infinity)
  return (
    <div className="chat" tabIndex={0} role="log" aria-label="Conversation" ref={box} onScroll={onScroll}>
      <div className="chat-lines" ref={lines} onClick={onClick}>
        {earlier !== null && (
          <button type="button" className="button small" onClick={earlier}>
            Earlier messages
          </button>
        )}
        {messages.length === 0 && live === null && <Empty title="Nothing said yet">Send the first message below.</Empty>}
        {messages.map((message, index) =>
          message.role === 'tool' ? null : <Bubble key={message.seq ?? `queued-${index}`} message={message} calls={calls} />,
        )}
        {live !== null && (live.text !== '' || live.reasoning !== '') && (
          <article className="bubble assistant" aria-busy="true">
            <header>
              <span>Assistant</span>
              <small className="muted">writing…</small>
            </header>
            {live.reasoning !== '' && <p className="reasoning">{live.reasoning}</p>}
            <RichText text={live.text} />
          </article>
        )}
      </div>
    </div>
  )
}

interface End {
  box: RefObject<HTMLDivElement | null>
  lines: RefObject<HTMLDivElement | null>
  onScroll: () => void
  onClick: (event: MouseEvent) => void
}

/**
 * Keeps a box at its end while its lines grow; whoever has scrolled up to read, or opens something, is left where they are, until something is sent.
 * `first` is the number of the first line: earlier ones come above what is read.
 */
function useEnd(sent: number, first: number): End {
  const box = useRef<HTMLDivElement>(null)
  const lines = useRef<HTMLDivElement>(null)
  const at = useRef({ follows: true, top: 0, height: 0, first })
  const toEnd = useCallback(() => {
    const { current } = box
    if (current === null || !at.current.follows) return
    current.scrollTop = current.scrollHeight
    at.current.top = current.scrollTop
  }, [])
  useEffect(() => {
    const { current } = lines
    if (current === null) return
    // Not the messages are counted: their text takes its height later, when what draws it has been loaded.
    const observer = new ResizeObserver(() => {
      if (box.current === null) return
      at.current.height = box.current.scrollHeight
      // What was opened is closed again: no scroll tells that the end is there.
      at.current.follows ||= isAtEnd(box.current)
      toEnd()
    })
    observer.observe(current)
    return () => observer.disconnect()
  }, [toEnd])
  useEffect(() => {
    at.current.follows = true
    toEnd()
  }, [sent, toEnd])
  useLayoutEffect(() => {
    const { current } = box
    const { follows, height, first: before } = at.current
    at.current.first = first
    if (current === null || follows || first >= before) return
    current.scrollTop += current.scrollHeight - height
    at.current.top = current.scrollTop
  }, [first])
  const onScroll = useCallback(() => {
    const { current } = box
    if (current === null) return
    at.current.follows = followsEnd(at.current.follows, at.current.top, current)
    at.current.top = current.scrollTop
  }, [])
  const onClick = useCallback((event: MouseEvent) => {
    // A key clicks too. To follow the end over what opens would push what was pressed out of sight.
    if ((event.target as Element).closest('summary') !== null) at.current.follows = false
  }, [])
  return { box, lines, onScroll, onClick }
}

function Bubble({ message, calls }: { message: MessageRow; calls: ReadonlyMap<string, CallRecord> }) {
  const queued = message.state === 'queued'
  return (
    <article className={`bubble ${message.role} ${queued ? 'queued' : ''}`}>
      <header>
        <span>{message.role === 'user' ? 'User' : message.role === 'assistant' ? 'Assistant' : 'System'}</span>
        <small className="muted">{queued ? 'waits in the queue' : clockTime(message.at)}</small>
      </header>
      {partsOf(message.content).map((part, index) => (
        <PartView key={index} part={part} role={message.role} calls={calls} />
      ))}
    </article>
  )
}

/** Longer texts are folded: they are mostly what programs wrote. */
const longText = 900

function PartView({ part, role, calls }: { part: Part; role: MessageRow['role']; calls: ReadonlyMap<string, CallRecord> }) {
  const { text = '' } = part
  if (part.type === 'tool-call') {
    const call = calls.get(part.toolCallId ?? '')
    return call === undefined ? (
      <details className="tool">
        <summary>
          <code>{part.toolName}</code>
        </summary>
        <pre className="code" tabIndex={0}>
          {shown(part.input)}
        </pre>
      </details>
    ) : (
      <ToolCallCard call={call} />
    )
  }
  if (part.type === 'reasoning') return <p className="reasoning">{text}</p>
  if (part.type === 'text' && role === 'assistant') return <RichText text={text} />
  if (part.type === 'text') {
    const script = text.trimStart().startsWith('{')
    if (!script && text.length < longText) return <p className="plain">{text}</p>
    return (
      <details>
        <summary>{script ? 'A script in JSON' : `${text.slice(0, 120)}…`}</summary>
        <pre className="code" tabIndex={0}>
          {pretty(text)}
        </pre>
      </details>
    )
  }
  return (
    <p className="muted">
      {part.type}: {part.filename ?? part.mediaType ?? ''}
    </p>
  )
}

function pretty(text: string): string {
  try {
    return shown(JSON.parse(text))
  } catch {
    // Text that only begins like JSON is shown as it is.
    return text
  }
}
