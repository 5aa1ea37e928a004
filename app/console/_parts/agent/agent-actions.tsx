'use client'

import type { AgentDetails } from '#app/console/_parts/agent/agent-page.tsx'
import { call } from '#app/console/_parts/api'
import { interruptBody, switchBody } from '#app/console/_parts/bodies'
import { AskButton, Field } from '#app/console/_parts/dialog.tsx'

/** What can be done to an agent as a whole: interrupt what runs, hold it, kill it. */
export function AgentActions({ agent, done }: { agent: AgentDetails; done: () => void }) {
  const base = `/api/agents/${encodeURIComponent(agent.id)}`
  const { activeRunId } = agent
  return (
    <>
      {activeRunId !== null && (
        <AskButton
          // What is asked about is this run: with its end the question goes too, and does not stand for the next run.
          key={activeRunId}
          label="Interrupt"
          title="Interrupt the run"
          submit="Interrupt"
          className="button"
          tone="primary"
          work={async (field) => {
            await call('POST', `${base}/interrupt`, { body: interruptBody(activeRunId, field) })
            done()
          }}
        >
          <p>What runs now ends as interrupted. What it has done is kept, and the agent takes messages as before.</p>
          <Field label="Reason">
            <input name="reason" maxLength={500} />
          </Field>
        </AskButton>
      )}
      <AskButton
        label="Kill or hold"
        title={`Stop ${agent.id}`}
        submit="Set the switch"
        className="button quiet-danger"
        work={async (field) => {
          await call('POST', '/api/kill', { body: switchBody(`agent:${agent.id}`, field) })
          done()
        }}
      >
        <StopModes />
        <Field label="Reason" hint="Stands in the audit log, and in what callers are told.">
          <input name="reason" required maxLength={500} />
        </Field>
      </AskButton>
    </>
  )
}

/** The choice between kill and hold, with what each does. */
export function StopModes() {
  return (
    <fieldset>
      <legend>What shall happen</legend>
      <label className="check">
        <input type="radio" name="mode" value="hold" defaultChecked />
        <span>
          <strong>Hold</strong>: no further step starts, messages are still accepted, and all goes on when it is lifted.
        </span>
      </label>
      <label className="check">
        <input type="radio" name="mode" value="kill" />
        <span>
          <strong>Kill</strong>: runs end now, and messages are refused until it is lifted. Ended runs stay ended.
        </span>
      </label>
    </fieldset>
  )
}
