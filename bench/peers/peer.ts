/** One durable agent as it is measured: the same scripted turn (an answer that calls one tool, the tool, an answer) with a model that takes no time. */
export interface Peer {
  /** Name and versions, as the table shows them. */
  name: string
  /** Opens it on a database of its own; makes its tables where `fresh`. */
  open: (databaseUrl: string, fresh: boolean) => Promise<PeerSession>
}

/** An opened peer. */
export interface PeerSession {
  /** Gives a conversation so many earlier messages of 1 KB, users' and assistants' by turns. */
  fill: (thread: string, messages: number) => Promise<void>
  /** One turn with one tool call; rejects unless it ends with the text "done". */
  turn: (thread: string) => Promise<void>
  /** How much the database holds of a conversation, in the peer's own rows: each turn must add to it. */
  count: (thread: string) => Promise<number>
  close: () => Promise<void>
}
