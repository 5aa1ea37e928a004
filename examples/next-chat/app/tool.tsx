import type { DynamicToolUIPart, ToolUIPart } from 'ai'

interface Props {
  part: ToolUIPart | DynamicToolUIPart
  answer: (answer: { id: string; approved: boolean }) => void
}

/** A call of a tool, with what a person is asked about it. */
export function Tool({ part, answer }: Props) {
  const { state, approval } = part
  return (
    <p>
      {part.type.slice('tool-'.length)} ({state})
      {state !== 'approval-requested' || approval === undefined ? null : (
        <>
          <button onClick={() => answer({ id: approval.id, approved: true })}>Allow</button>
          <button onClick={() => answer({ id: approval.id, approved: false })}>Deny</button>
        </>
      )}
    </p>
  )
}
