/**
 * Every code of a finding: what it means, and what the repair does (supabase/migrations/0028 finds, 0029 mends). The repair never throws
 * anything away: what it replaces is kept in baton.repairs.
 */
export const findingTable = {
  message_gap: ['Messages of the conversation are missing.', 'A row in each place says that a message was lost.'],
  message_corrupted: [
    'A message cannot be read; the runs of this agent end as corrupted_data.',
    'Results of tools are made again from their records; anything else says that it could not be read. The original is kept.',
  ],
  dangling_call: ['A tool call in the history has no result.', 'The result is entered from its record, or as an unknown outcome.'],
  doubled_result: ['A tool call has more than one result in the history.', 'The first stays; the message with the other is kept.'],
  orphan_result: ['A result in the history has no call before it.', 'The call is entered from its record.'],
  event_gap: ['Events are missing between those that are kept.', 'A `repaired` event fills each number, so that readers go on.'],
  counter_differs: ["A counter of the agent's row differs from the rows it counts.", 'It is counted again.'],
  active_run_ended: ['The agent is at a run that has ended or is gone.', 'It is ready again, and the next of its queue begins.'],
  idle_agent_marked: [
    'The agent is at no run, and is marked as working, or its queue stands still.',
    'It is ready, and the next of its queue begins.',
  ],
  run_unreachable: [
    'A run is open, but neither at work nor in the queue: nobody would ever go on with it.',
    'One that had begun goes on, or is queued; one whose message is lost ends as cancelled.',
  ],
  inbox_of_ended_run: ['A queued message belongs to a run that has ended.', 'It gets a run of its own.'],
  run_stuck: ['A run is at work, but nobody holds it and no time is set at which somebody would.', 'It is due at once.'],
  run_overdue: [
    'A run has been due for 15 minutes and nobody has taken it.',
    'A new continuation is sent. If it comes back, look at Inngest and the sweeper.',
  ],
  open_call_without_lease: [
    'A tool call is marked as executing, and nobody executes.',
    'The run is due at once; its next executor repeats or seals the call.',
  ],
  open_call_without_run: ['A tool call is open and its run has ended.', 'It is sealed with an unknown outcome, or its result is entered.'],
  approval_orphan: ['An approval is pending for a call that asks for none.', 'It is cancelled.'],
  approval_missing: ['A call waits for an approval that is gone.', 'It is denied and not executed; the model may ask again.'],
  wait_orphan: ['A time is set for an outside call that waits no more.', 'It is removed.'],
  wait_missing: ['An outside call waits without a time at which it would expire.', 'It expires in 24 hours.'],
  outbox_stuck: [
    'A continuation or webhook has not been sent for 15 minutes.',
    'It is sent now. If it comes back, look at Inngest and the sweeper.',
  ],
  run_money_differs: ['What a run says it has cost or reserved differs from the ledger.', 'The ledger is right.'],
  reservation_open: ['Money is reserved for a run that has ended.', 'It is booked in full as estimated.'],
  budget_drift: ['The counter of a budget differs from the ledger.', 'It is counted again from the ledger.'],
} as const satisfies Record<string, readonly [means: string, repair: string]>

/** What a finding means and what its repair does; a code that this build does not know says so. */
export function explainFinding(code: string): { means: string; repair: string } {
  const [means, repair] = (findingTable as Record<string, readonly [string, string] | undefined>)[code] ?? [
    'This build does not know the code.',
    'Look at it with the release that wrote it.',
  ]
  return { means, repair }
}
