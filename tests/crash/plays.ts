import { charge, count, echo, endless, last, tools, usage, type Scenario } from '#tests/crash/scenario'
import { watched } from '#tests/crash/plays-watched'

export const scenarios: readonly Scenario[] = [
  {
    name: 'a plain turn',
    play: (play) => play.send([last]),
    points: [
      ['before', 'baton_open', 1],
      ['before', 'model', 1],
      ['after', 'baton_commit', 1],
    ],
  },
  {
    name: 'tools of each class in parallel',
    play: (play) => play.send([tools(echo, count, charge), last]),
    points: [
      ['after', 'baton_commit', 1],
      ['before', 'tool', 2],
      ['before', 'tool', 3],
      ['before', 'baton_commit', 2],
    ],
  },
  {
    name: 'a once tool, then another step',
    play: (play) => play.send([tools(charge), tools(count), last]),
    points: [
      ['before', 'tool', 1],
      ['before', 'baton_commit', 2],
      ['after', 'baton_commit', 2],
    ],
  },
  {
    name: 'an approval',
    async play(play) {
      await play.send([tools(charge, { ...charge, input: { key: 'refused', cents: 7 } }), last], { template: 'asks', prefer: 'wait=20' })
      await play.until('it waits for a person', async () => (await play.pending()).length === 2)
      const [first, second] = await play.pending()
      await play.act('POST', `/api/approvals/${first}`, { decision: 'allow' })
      await play.act('POST', `/api/approvals/${second}`, { decision: 'deny', note: 'no' })
      await play.allEnded()
    },
    points: [
      ['after', 'baton_commit', 1],
      ['before', 'baton_decide', 1],
      ['before', 'tool', 1],
      ['after', 'baton_commit', 3],
    ],
  },
  {
    name: 'the end of a budget',
    async play(play) {
      await play.act('PUT', `/api/budgets/agent:${play.agent}`, { limitMicros: 20_000, period: 'day' })
      await play.send([tools(count), { ...last, usage: { input: 2_000, output: 800 } }])
      await play.allEnded()
    },
    points: [
      ['after', 'baton_open', 1],
      ['before', 'baton_commit', 2],
      ['after', 'baton_commit', 2],
    ],
  },
  {
    name: 'a kill',
    async play(play) {
      const sent = play.send([tools(charge), endless])
      await play.effect('model', 2)
      await play.act('POST', '/api/kill', { scope: `agent:${play.agent}`, mode: 'kill', reason: 'a test' })
      await play.allEnded()
      await sent
    },
    points: [
      ['before', 'model', 2],
      ['before', 'baton_commit', 3],
    ],
  },
  {
    name: 'an interrupt',
    async play(play) {
      const sent = play.send([endless])
      await play.effect('model', 1)
      await play.act('POST', `/api/agents/${play.agent}/interrupt`, { runId: await play.runId(1) })
      await play.allEnded()
      await sent
      await play.send([last])
    },
    points: [
      ['before', 'model', 1],
      ['after', 'baton_stop', 1],
      ['before', 'baton_commit', 1],
    ],
  },
  {
    name: 'two messages in a queue',
    async play(play) {
      const open = play.gate('model')
      await play.send([last], { prefer: 'respond-async' })
      await play.send([last], { onBusy: 'enqueue', prefer: 'respond-async' })
      open()
      await play.allEnded()
    },
    points: [
      ['after', 'baton_open', 1],
      ['before', 'baton_claim', 1],
      ['after', 'baton_commit', 1],
    ],
  },
  {
    name: 'a message that steers',
    async play(play) {
      const open = play.gate('tool')
      const sent = play.send([tools(echo), last])
      await play.effect('echo', 1)
      await play.send([last], { onBusy: 'steer', prefer: 'respond-async' })
      open()
      await play.allEnded()
      await sent
    },
    points: [
      ['before', 'tool', 1],
      ['after', 'baton_open', 2],
      ['before', 'baton_commit', 2],
    ],
  },
  {
    name: 'a message that interrupts',
    async play(play) {
      const sent = play.send([endless])
      await play.effect('model', 1)
      await play.send([last], { onBusy: 'interrupt' })
      await play.allEnded()
      await sent
    },
    points: [
      ['after', 'baton_open', 2],
      ['before', 'baton_commit', 1],
      ['after', 'baton_commit', 1],
    ],
  },
  {
    name: 'a wait for a retry',
    async play(play) {
      const sent = play.send([{ ...last, error: { status: 503, times: 1, retryAfter: 58 } }])
      await play.until('it waits', async () => (await play.states()).includes('waiting'))
      await play.advance(70_000)
      await play.allEnded()
      await sent
    },
    points: [
      ['before', 'baton_commit', 1],
      ['after', 'baton_commit', 1],
      ['after', 'baton_claim', 1],
    ],
  },
  {
    name: 'a hand-off',
    async play(play) {
      // Of the route's slice alone: how much fits into the next one must not depend on the machine.
      await play.send([{ ...tools(count), delayMs: 2_050 }, tools(charge), last], { prefer: 'wait=2' })
      await play.allEnded()
    },
    points: [
      ['before', 'baton_commit', 1],
      ['after', 'baton_commit', 1],
      ['after', 'baton_claim', 1],
    ],
  },
  {
    name: 'a webhook',
    async play(play) {
      await play.send([last], { webhook: { url: play.hook } })
      await play.told(1)
    },
    points: [
      ['after', 'baton_take_delivery', 1],
      ['before', 'baton_record_delivery', 1],
      ['after', 'baton_record_delivery', 1],
    ],
  },
  {
    name: 'a result from outside',
    async play(play) {
      await play.send([tools({ name: 'outside', input: {} }, count), last])
      await play.until('it waits for the outside', async () => (await play.states()).includes('waiting'))
      await play.act('POST', await play.callback(), { output: { done: true } })
      await play.allEnded()
    },
    points: [
      ['after', 'baton_commit', 1],
      ['before', 'baton_call_result', 1],
      ['after', 'baton_call_result', 1],
    ],
  },
  {
    name: 'a run again',
    async play(play) {
      await play.send([tools(charge), { usage, error: { status: 401 } }])
      await play.allEnded()
      await play.act('POST', `/api/runs/${await play.runId(1)}/retry`)
      await play.allEnded()
    },
    points: [
      ['before', 'baton_retry', 1],
      ['after', 'baton_retry', 1],
      ['after', 'baton_claim', 1],
    ],
  },
  {
    name: 'a hold that is lifted',
    async play(play) {
      const scope = `agent:${play.agent}`
      const open = play.gate('tool')
      const sent = play.send([tools(echo), last], { prefer: 'wait=0' })
      await play.effect('echo', 1)
      await play.act('POST', '/api/kill', { scope, mode: 'hold', reason: 'a test' })
      open()
      await play.until('it is held', async () => (await play.states()).includes('waiting'))
      await play.act('DELETE', `/api/kill/${scope}`)
      await play.allEnded()
      await sent
    },
    points: [
      ['after', 'baton_set_switch', 1],
      ['before', 'baton_commit', 2],
      ['after', 'baton_lift_switch', 1],
    ],
  },
  ...watched,
]
