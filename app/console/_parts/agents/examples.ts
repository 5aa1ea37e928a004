interface Example {
  name: string
  message: string
  /** Short slices, so that a hand-off can be watched. */
  sliceMs?: number
  /** Tools to ask a person about. */
  ask?: string
}

const script = (...answers: object[]): string => JSON.stringify({ script: answers }, null, 1)

/** Messages for the scripted template of local mode that show what there is to see. */
export const examples: readonly Example[] = [
  {
    name: 'Hand-off in mid-run',
    sliceMs: 1_500,
    message: script(
      {
        text: 'I will look up the order, then the parcel.',
        chunks: 10,
        chunkDelayMs: 60,
        tools: [
          { name: 'echo', input: { value: { order: 1042, total: 59.9 } } },
          { name: 'wait', input: { ms: 900 } },
        ],
        usage: { input: 1_200, output: 90 },
      },
      {
        text: 'The order is paid. Now the parcel.',
        chunks: 10,
        chunkDelayMs: 90,
        tools: [{ name: 'count', input: { key: 'parcel-1042' } }],
        usage: { input: 1_400, output: 60 },
      },
      {
        text: 'Order **1042** is on its way:\n\n- paid on Monday\n- handed to the carrier on Tuesday\n- arrives *tomorrow*',
        chunks: 24,
        chunkDelayMs: 90,
        usage: { input: 1_700, output: 140 },
      },
    ),
  },
  {
    name: 'A payment that needs approval',
    ask: 'charge',
    message: script(
      {
        text: 'The refund is within the policy. I ask for the payment to be approved.',
        tools: [{ name: 'charge', input: { key: 'refund-1042', cents: 5_990 } }],
        usage: { input: 900, output: 80 },
      },
      { text: 'The refund has been paid.', usage: { input: 1_100, output: 20 } },
    ),
  },
  {
    name: 'A tool that fails, a provider that is slow',
    message: script(
      { text: 'Trying the primary source.', tools: [{ name: 'fail', input: { message: 'the source is down for repair' } }] },
      { error: { status: 503, times: 1 } },
      { text: 'The primary source is down; this answer is from the copy of last night.', chunks: 8, chunkDelayMs: 120 },
    ),
  },
]
