import type { RunDetails } from '#lib/core/pages'
import { isEnd } from '#lib/core/run'
import type { SwitchView } from '#lib/core/switches'

/** One sentence, made from the rows, why the run stands where it stands (3-http-api). */
export function explain({ run, now, queuePosition, openCalls, gateMs, waits, blockedBy, switch: covering }: RunDetails): string {
  const inMs = (instant: string | null): string => {
    const ms = instant === null ? 0 : Date.parse(instant) - Date.parse(now)
    return ms <= 0 ? 'now' : `in ${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`
  }
  const calls = openCalls.map((call) => `${call.name} (${call.state})`).join(', ')
  if (isEnd(run.state)) {
    const why = run.error === null ? '' : `: ${run.error.message}`
    return `The run ended as ${run.state} (${run.stopReason}) after ${counted(run.step, 'step')} in ${counted(run.slices, 'slice')}${why}`
  }
  const turn = `number ${queuePosition} in the queue of its agent`
  if (covering !== null) return switched(covering, run.state === 'queued' ? ` It is ${turn}.` : '', run.lease?.live ?? false)
  if (run.state === 'queued' && blockedBy !== null)
    return `The run waits for its turn: ${turn}, behind run ${blockedBy}, which is paused until somebody answers.`
  if (run.state === 'queued') return `The run waits for its turn: ${turn}.`
  if (run.stopRequested !== null) return `The run has been asked to stop (${run.stopRequested}); its executor ends it with its next commit.`
  const last = run.error === null ? '' : ` The last error was ${run.error.code}: ${run.error.message}`
  if (run.state === 'awaiting_approval') {
    const asked = (waits?.approvals ?? []).map((approval) => `${approval.tool} (approval ${approval.id}, until ${approval.expiresAt})`)
    return `The run waits for a decision about ${asked.join(', ')}; POST /api/approvals/{id} decides. Nothing runs and nothing is spent until then.`
  }
  if (run.state === 'waiting') {
    const due = inMs(run.wait?.dueAt ?? null)
    if (run.wait?.kind === 'template')
      return `The run waits because its template ${run.template} is not deployed; deploy it again and the run goes on. The next look is due ${due}.`
    if (run.wait?.kind === 'external') {
      const outside = (waits?.externalCalls ?? []).map((call) => `${call.tool} (${call.callId}, until ${call.expiresAt})`)
      return `The run waits for results from outside: ${outside.join(', ')}; each call's record has the address to send its result to.`
    }
    if (run.wait?.kind === 'budget')
      return `The run waits because a budget that it shares has no room for its first call (see its budget events); raise the limit and it goes on. The next look is due ${due}.`
    return `The run waits (${run.wait?.kind}) and is due ${due}.${last}`
  }
  if (run.lease === null)
    return `The run is due ${inMs(run.dueAt)} and no executor holds it: its continuation is on the way or the sweeper will find it.${last}`
  if (!run.lease.live) {
    const times = run.crashes === 0 ? '' : ` It is take-over number ${run.crashes + 1} of this step.`
    return `The executor of step ${run.step + 1} has not been heard of since before ${run.lease.until}; the sweeper hands the run on.${times}`
  }
  if (calls === '' && gateMs !== null && gateMs > 0) {
    return `Slice ${run.slices} (epoch ${run.lease.epoch}) waits before step ${run.step + 1}: the provider limits the rate, and calls of the model go on in ${(gateMs / 1_000).toFixed(1)} s.${last}`
  }
  const doing = calls === '' ? `step ${run.step + 1}` : `tools: ${calls}`
  return `Slice ${run.slices} (epoch ${run.lease.epoch}) is at work on ${doing}; its lease ends ${inMs(run.lease.until)} unless renewed.${last}`
}

function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

function switched({ scope, mode, reason, actor, createdAt }: SwitchView, more: string, live: boolean): string {
  const by = `by the switch ${scope} (${reason}), which ${actor} set at ${createdAt}`
  if (mode === 'kill')
    return `The run is killed ${by}; ${live ? 'its executor ends it with its next commit' : 'the sweeper ends it'}.${more}`
  return `The run is held ${by}; ${live ? 'its step in hand is committed and no other starts' : 'it goes on when an admin lifts it'}.${more}`
}
