/** Ids carry their kind as a prefix; the rest is a UUIDv7 without dashes, so they sort by time. Made by the `Ids` port only. */
export type RunId = `run_${string}`
/** One tool call. */
export type CallId = `call_${string}`
/** One slice: the owner of a lease. */
export type SliceId = `slice_${string}`
/** One commit; a repeat with the same id gets the first result. */
export type CommitId = `commit_${string}`
/** Money held back for one model call. */
export type ReservationId = `res_${string}`

/** The never re-used key of an agent (a UUID); the id that callers see is only a name within tenant and environment. */
export type AgentUid = string & { readonly agentUid?: never }

/** What a caller may choose as an agent's id (2-run-contract, Words). */
export const agentNamePattern = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$/
