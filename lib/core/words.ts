/** The values that a field may have, by its name; a field whose list has no `undefined` must be there. */
export type Words<Of extends object> = { readonly [Field in keyof Of]?: readonly Of[Field][] }

/**
 * Checks what an author without a type checker writes: throws a TypeError that names the field for a value outside its list, and for a
 * field that there is not, where a misspelt one would silently be without effect.
 */
export function checkWords<Of extends object>(what: string, given: Of, words: Words<Of>, known: readonly string[]): void {
  for (const [field, allowed] of Object.entries<readonly unknown[] | undefined>(words)) {
    const value: unknown = given[field as keyof Of]
    if (allowed === undefined || allowed.includes(value)) continue
    const named = allowed.filter((word) => word !== undefined).map((word) => JSON.stringify(word))
    throw new TypeError(`${what}: ${field} is ${value === undefined ? 'missing' : JSON.stringify(value)}; write ${named.join(', ')}`)
  }
  checkFields(what, given, known)
}

/** Throws a TypeError that names a field of the object, if it has one, that is not known. */
export function checkFields(what: string, given: object | undefined, known: readonly string[]): void {
  const unknown = Object.keys(given ?? {}).find((field) => !known.includes(field))
  if (unknown !== undefined) throw new TypeError(`${what}: there is no field ${unknown}; there are ${known.join(', ')}`)
}
