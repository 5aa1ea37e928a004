/** How near to its end, in pixels, a conversation counts as read to its end. */
const near = 240

type Box = Pick<Element, 'scrollTop' | 'scrollHeight' | 'clientHeight'>

const restOf = (box: Box): number => box.scrollHeight - box.scrollTop - box.clientHeight

/** Whether nothing is below what is shown of a box; heights are rounded. */
export function isAtEnd(box: Box): boolean {
  return restOf(box) < 2
}

/**
 * Whether the end of a box is followed, after it was scrolled from `top` to where it stands: who comes down near the end follows it, and who goes
 * up does not any more, however near they stay: text that comes meanwhile would pull them back. A box that has grown meanwhile stands where it
 * stood, and its end is followed as before.
 */
export function followsEnd(before: boolean, top: number, box: Box): boolean {
  if (isAtEnd(box)) return true
  if (box.scrollTop < top) return false
  return before || restOf(box) < near
}
