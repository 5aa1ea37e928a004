import type { ModelAnswer, ModelRequest } from '#lib/core/ports'
import type { NewEvent } from '#lib/core/commit'
import { askHook, hookFailed, hooksAt, messageOf } from '#lib/engine/hooks'
import type { Session } from '#lib/engine/session'
import { reservationFor, settle } from '#lib/engine/settle'

/** What the hooks before a model call have made of it, or why the run must end. */
export type BeforeModel = { kind: 'ask'; request: ModelRequest } | { kind: 'end'; code: 'hook_stopped' | 'hook_failed'; message: string }

/** Asks the hooks before a model call, each with what the one before has made of it. Rejects with the reason of the slice's signal alone. */
export async function preModel(session: Session, plain: ModelRequest): Promise<BeforeModel> {
  let request = plain
  for (const hook of hooksAt(session, 'preModel')) {
    const { model, instructions, messages, tools, step } = request
    const view = { model, instructions, messages: copyOf(messages), tools: tools.map(({ name }) => name) }
    try {
      const answer = await askHook(session, hook, step, (context) => hook.preModel?.(view, context))
      if (answer === undefined || answer === null) continue
      if ('stop' in answer) return { kind: 'end', code: 'hook_stopped', message: String(answer.stop) }
      request = { ...request, instructions: answer.instructions ?? instructions, messages: answer.messages ?? messages }
    } catch (thrown) {
      session.signal.throwIfAborted()
      const message = `The hook ${hook.name} failed before the model was asked, so it was not asked: ${messageOf(thrown)}`
      return { kind: 'end', code: 'hook_failed', message }
    }
  }
  return { kind: 'ask', request }
}

/** A copy for a hook to work in: the history changes by its answer alone. What an earlier hook has put in may have no copy (a URL), and is its own. */
function copyOf(messages: ModelRequest['messages']): ModelRequest['messages'] {
  try {
    return structuredClone(messages)
  } catch {
    return messages
  }
}

function isLarger({ services: { model } }: Session, plain: ModelRequest, request: ModelRequest): boolean {
  const [before, after] = [model.estimate(plain), model.estimate(request)]
  return after.inputTokens > before.inputTokens || after.outputTokens > before.outputTokens
}

/** The first call of a run may be reserved for by the database, which knows of a function that makes instructions its source alone. */
function isLonger({ definition, opened, reservation, services: { model } }: Session, plain: ModelRequest): boolean {
  if (typeof definition.instructions === 'string' || reservation.entry?.micros !== null) return false
  const known = opened.window.reduce((sum, { estTokens }) => sum + estTokens, opened.settings.instructionTokens)
  return model.estimate(plain).inputTokens > known
}

/**
 * Sets more aside where hooks have made a request larger than the one that was reserved for, or a function its instructions longer
 * than the database could know; what was reserved is given back. One trip more, and only then; true where it was made. Throws LeaseLost.
 */
export async function coverChanges(session: Session, plain: ModelRequest, request: ModelRequest): Promise<boolean> {
  if (session.reservation.state !== 'granted') return false
  if (!isLonger(session, plain) && (request === plain || !isLarger(session, plain, request))) return false
  const reserve = reservationFor(session, request)
  if (reserve === null) return false
  await settle(session, { progress: false }, 0, { reserve })
  return true
}

/**
 * The answer as the hooks after a model call leave it. A text that was replaced has been seen by who watches live: `onReplaced` tells
 * them to drop it, and the stored text wins. A hook that fails leaves the answer. Never rejects.
 */
export async function postModel(
  session: Session,
  request: ModelRequest,
  first: ModelAnswer,
  onReplaced: () => void,
): Promise<{ answer: ModelAnswer; events: NewEvent[] }> {
  let answer = first
  const events: NewEvent[] = []
  for (const hook of hooksAt(session, 'postModel')) {
    const { text, reasoning, finish, usage, model } = answer
    const view = {
      model,
      text,
      reasoning,
      finish,
      usage: { ...usage },
      calls: answer.calls.map(({ name, input }) => ({ name, input: structuredClone(input) })),
    }
    try {
      const said = await askHook(session, hook, request.step, (context) => hook.postModel?.(view, context))
      if (said !== undefined && said !== null) answer = withText(answer, String(said.replaceText))
    } catch (thrown) {
      events.push(hookFailed(session, hook, 'postModel', request.step, thrown))
    }
  }
  if (answer.text !== first.text) onReplaced()
  return { answer, events }
}

/** The answer with one text in place of all its texts; reasoning and calls stay where they are. */
function withText(answer: ModelAnswer, text: string): ModelAnswer {
  const firstText = answer.content.findIndex((part) => part.type === 'text')
  const firstCall = answer.content.findIndex((part) => part.type === 'tool-call')
  const at = firstText !== -1 ? firstText : firstCall !== -1 ? firstCall : answer.content.length
  const rest = (part: ModelAnswer['content'][number]): boolean => part.type !== 'text'
  const own = text === '' ? [] : [{ type: 'text' as const, text }]
  return { ...answer, text, content: [...answer.content.slice(0, at).filter(rest), ...own, ...answer.content.slice(at).filter(rest)] }
}
