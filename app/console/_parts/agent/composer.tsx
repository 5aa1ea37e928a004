'use client'

import { useState, type KeyboardEvent } from 'react'
import type { AgentState } from '#lib/core/run'
import { leftAfter, sendMessage, type Sending } from '#app/console/_parts/agent/send-message'
import { Failure } from '#app/console/_parts/bits.tsx'
import { useDraft, useTries } from '#app/console/_parts/use-draft'
import { useAction } from '#app/console/_parts/use-resource'

const ways = [
  { value: 'enqueue', label: 'after this run' },
  { value: 'steer', label: 'into this run' },
  { value: 'interrupt', label: 'instead of this run' },
]

/** Where a message is written; while the agent works it says what shall become of the message. */
export function Composer({ agent, state, sent }: { agent: string; state: AgentState; sent: () => void }) {
  const busy = state !== 'ready'
  const [text, setText] = useDraft<string>(`message to ${agent}`, '')
  const tries = useTries<Sending>(`tries of message to ${agent}`)
  // Sent another way it would be another message.
  const [way, setWay] = useState(() => tries.open()?.way ?? 'enqueue')
  const action = useAction(async () => {
    await sendMessage(tries, agent, text, way, busy)
    setText((now) => leftAfter(text, now))
    sent()
  })
  const submit = (): void => {
    if (text.trim() !== '') action.run()
  }
  const onKey = (event: KeyboardEvent): void => {
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
    event.preventDefault()
    submit()
  }
  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault()
        submit()
      }}
    >
      {action.error !== null && <Failure error={action.error} />}
      <textarea
        aria-label="Message"
        placeholder="Message, sent with Enter"
        rows={2}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        onKeyDown={onKey}
      />
      <div className="row apart">
        {busy ? (
          <label className="row">
            <small className="muted">{state === 'paused' ? 'It is paused. Send' : 'It works now. Send'}</small>
            <select className="inline" value={way} onChange={(event) => setWay(event.currentTarget.value)}>
              {ways.map(({ value, label }) => (
                <option key={value} value={value}>
                  {label}
                </option>
              ))}
            </select>
          </label>
        ) : (
          <span />
        )}
        <button type="submit" className="button primary" disabled={action.busy || text.trim() === ''}>
          Send
        </button>
      </div>
    </form>
  )
}
