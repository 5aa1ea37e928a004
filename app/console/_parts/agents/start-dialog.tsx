'use client'

import { useRouter } from 'next/navigation'
import { useState } from 'react'
import { examples } from '#app/console/_parts/agents/examples'
import { createStarting, startRun } from '#app/console/_parts/agents/start-run'
import { Field, FormDialog } from '#app/console/_parts/dialog.tsx'
import { useSession } from '#app/console/_parts/session.tsx'

/** Makes an agent, if it does not exist, and sends it its first message. */
export default function StartDialog({ close }: { close: () => void }) {
  const router = useRouter()
  const { session } = useSession()
  const [starting] = useState(createStarting)
  const [template, setTemplate] = useState(() => session.templates.find((name) => name !== 'scripted') ?? session.templates[0] ?? '')
  const [message, setMessage] = useState('')
  const [slice, setSlice] = useState('')
  const [ask, setAsk] = useState('')
  const choose = (name: string): void => {
    const example = examples.find((known) => known.name === name)
    if (example === undefined) return
    setMessage(example.message)
    setSlice(example.sliceMs === undefined ? '' : String(example.sliceMs))
    setAsk(example.ask ?? '')
  }

  return (
    <FormDialog
      title="Start a run"
      submit="Start"
      close={close}
      work={async (field) => {
        const asks = ask.split(/[\s,]+/).filter((name) => name !== '')
        const request = { template, id: field('id'), asks, message, sliceMs: slice === '' ? null : Number(slice) }
        const agent = await startRun(starting, request)
        router.push(`/console/agents/${encodeURIComponent(agent)}`)
      }}
    >
      <div className="pair">
        <Field label="Template">
          <select name="template" value={template} onChange={(event) => setTemplate(event.currentTarget.value)}>
            {session.templates.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </Field>
        <Field label="Agent id" hint="Left empty, one is made.">
          <input name="id" spellCheck={false} maxLength={128} />
        </Field>
      </div>
      {template === 'scripted' && (
        <Field label="Example" hint="The scripted model plays the answers that the message lists.">
          <select name="example" defaultValue="" onChange={(event) => choose(event.currentTarget.value)}>
            <option value="">None</option>
            {examples.map(({ name }) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </Field>
      )}
      <Field label="Message">
        <textarea
          name="message"
          required
          rows={5}
          value={message}
          onChange={(event) => setMessage(event.currentTarget.value)}
          {...(template === 'scripted' ? { className: 'mono' } : {})}
        />
      </Field>
      <details open={slice !== '' || ask !== ''}>
        <summary>More</summary>
        <div className="pair" style={{ marginTop: 10 }}>
          <Field label="Slice, in milliseconds" hint="After so long the run is handed to another executor.">
            <input
              name="slice"
              type="number"
              min={1}
              inputMode="numeric"
              value={slice}
              onChange={(event) => setSlice(event.currentTarget.value)}
            />
          </Field>
          <Field label="Ask before these tools" hint="Names with commas; only for a new agent.">
            <input name="ask" spellCheck={false} value={ask} onChange={(event) => setAsk(event.currentTarget.value)} />
          </Field>
        </div>
      </details>
    </FormDialog>
  )
}
