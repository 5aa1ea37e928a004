/** Why the work of a slice was aborted: `flags` when its run is to stop, `broken_off` when nobody will store it. */
export type WhyStopped = 'flags' | 'hard_limit' | 'shutdown' | 'broken_off'

const sentences: Readonly<Record<WhyStopped, string>> = {
  flags: 'the run has been asked to stop',
  hard_limit: 'the hard limit of the function is reached',
  shutdown: 'the process is about to end',
  broken_off: 'the slice has broken off',
}

/** The reason of a slice's abort signal. */
export class Stopped extends Error {
  readonly why: WhyStopped
  constructor(why: WhyStopped) {
    super(sentences[why])
    this.name = 'Stopped'
    this.why = why
  }
}

/** Why a slice of this signal was stopped; null where it was not, or has lost its lease. */
export function whyStopped({ reason }: AbortSignal): WhyStopped | null {
  return reason instanceof Stopped ? reason.why : null
}

/** What has cut the slice of this signal, so that a fresh one repeats its step; null where nothing has, or nobody repeats it. */
export function cutBy(signal: AbortSignal): 'hard_limit' | 'shutdown' | null {
  const why = whyStopped(signal)
  return why === 'hard_limit' || why === 'shutdown' ? why : null
}
