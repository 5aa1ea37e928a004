/** The least that one delta carries, in UTF-16 units; it grows with the text, so that a long one has not too many. */
const leastPiece = 8
const growth = 256

/** The place where the piece that begins at `from` ends: made from the text alone, so that a live stream and a replay cut alike. */
function endOfPiece(text: string, from: number): number {
  const end = from + Math.max(leastPiece, Math.floor(from / growth))
  // A pair of surrogates is one character: it is never cut.
  const last = text.charCodeAt(end - 1)
  return last >= 0xd8_00 && last <= 0xdb_ff ? end + 1 : end
}

/** The whole pieces of `text` from `from` on; with `final` also what is left. The same text gives the same pieces however it came in. */
export function piecesFrom(text: string, from: number, final: boolean): string[] {
  const pieces: string[] = []
  let at = from
  for (let end = endOfPiece(text, at); end <= text.length; end = endOfPiece(text, at)) {
    pieces.push(text.slice(at, end))
    at = end
  }
  if (final && at < text.length) pieces.push(text.slice(at))
  return pieces
}
