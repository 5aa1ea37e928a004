/** How near to its end, in pixels, a conversation counts as read to its end. */
const near = 240

/**
 * Whether the end of a box is followed, after it was scrolled from `top` to where it stands: who comes near the end follows it, and who goes up to
 * read does not any more. A box that has grown meanwhile stands where it stood, and its end is followed as before.
 */
export function followsEnd(before: boolean, top: number, box: Pick<Element, 'scrollTop' | 'scrollHeight' | 'clientHeight'>): boolean {
  if (box.scrollHeight - box.scrollTop - box.clientHeight < near) return true
  return before && box.scrollTop >= top
}
