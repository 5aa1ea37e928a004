/** Next calls this once, before the first request: also a server that nobody has asked anything ends in order. */
export async function register(): Promise<void> {
  if (process.env['NEXT_RUNTIME'] === 'edge') return
  const { leaveInOrder } = await import('#lib/system/shutdown')
  leaveInOrder()
}
