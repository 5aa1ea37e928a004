/** What a scripted call says it used: little, so that no budget ends a long measurement. */
const usage = { input: 100, output: 20 }

/** What the scripted model is told: an instant answer, and an instant answer after one call of a tool that returns its input. */
export const plainTurn = JSON.stringify({ script: [{ text: 'Hello', usage }] })
export const toolTurn = JSON.stringify({
  script: [
    { tools: [{ name: 'echo', input: { value: 'x' } }], usage },
    { text: 'done', usage },
  ],
})
