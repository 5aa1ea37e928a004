import { charge, count, last, tools, usage, type Scenario } from '#tests/crash/scenario'

/** Scenarios in which somebody watches, a person is asked about what a death has left, or heartbeats carry the lease. */
export const watched: readonly Scenario[] = [
  {
    name: 'a caller that streams',
    async play(play) {
      const open = play.gate('answer')
      const { readers, over } = play.follow([
        { ...tools(count), text: 'I count to three.', chunks: 3 },
        { text: 'One, two, three.', chunks: 3, usage },
      ])
      await play.until('both show the whole text', async () => readers.every((reader) => reader.shows('I count to three.')))
      open()
      await over
    },
    points: [
      ['after', 'piece', 4],
      ['after', 'baton_commit', 1],
    ],
  },
  {
    name: 'an unknown outcome that a person seals',
    deaths: [{ at: 'before', call: 'tool', nth: 1 }],
    async play(play) {
      const sent = play.send([tools(charge), last], { template: 'careful' })
      await play.decideAll({ decision: 'deny', note: 'it may have happened' })
      await sent
    },
    points: [
      ['after', 'baton_decide', 1],
      ['after', 'baton_claim', 2],
    ],
  },
  {
    name: 'an unknown outcome that a person repeats',
    deaths: [{ at: 'before', call: 'tool', nth: 1 }],
    async play(play) {
      const sent = play.send([tools(charge), last], { template: 'careful' })
      await play.decideAll({ decision: 'allow' })
      await sent
    },
    points: [
      ['after', 'baton_claim', 1],
      ['before', 'tool', 2],
    ],
  },
  {
    name: 'an unknown outcome that ends its run',
    deaths: [{ at: 'before', call: 'tool', nth: 2 }],
    async play(play) {
      const sent = play.send([tools(count, charge), last], { template: 'strict' })
      await play.allEnded()
      await sent
    },
    points: [['after', 'baton_claim', 1]],
  },
  {
    name: 'a slice longer than its lease',
    env: { BATON_LEASE_MS: '6000' },
    async play(play) {
      const open = play.gate('tool')
      const sent = play.send([tools(count), last])
      await play.called('baton_renew', 3)
      open()
      await sent
    },
    points: [['before', 'baton_renew', 2]],
  },
]
