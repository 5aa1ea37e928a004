/** A fault planted on purpose: one exact text of a source replaced by another, and the test that must turn red. */
export interface Mutation {
  /** Short and unique: `--only name` runs it alone. */
  name: string
  /** The sentence it breaks: an invariant (I4), a case of acceptance (A35), or both. */
  breaks: string
  file: string
  /** Stands exactly once in the file; lines are kept apart as in the source. */
  text: string
  replacement: string
  /** The file and the whole name of the test, without the describes around it. */
  test: { file: string; name: string }
  /** True where the fault reaches the test only through the built server. */
  build?: true
}
