import { AIMessage, HumanMessage, type BaseMessage } from '@langchain/core/messages'
import { tool } from '@langchain/core/tools'
import { END, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph'
import { ToolNode, toolsCondition } from '@langchain/langgraph/prebuilt'
import { PostgresSaver } from '@langchain/langgraph-checkpoint-postgres'
import { z } from 'zod'
import type { Peer } from '#bench/peers/peer'
import { earlier } from '#bench/peers/texts'

const echo = tool(({ value }) => value, { name: 'echo', description: 'Answers with its input.', schema: z.object({ value: z.string() }) })

/** The instant model: first the call, then the answer to its result. It is no chat model of LangChain, which would only cost more. */
function model({ messages }: { messages: BaseMessage[] }): { messages: BaseMessage[] } {
  if (messages.at(-1)?.getType() === 'tool') return { messages: [new AIMessage('done')] }
  return { messages: [new AIMessage({ content: '', tool_calls: [{ id: `call_${messages.length}`, name: 'echo', args: { value: 'x' } }] })] }
}

/** LangGraph JS with its Postgres checkpointer, put together as its documentation shows. */
export const peer: Peer = {
  name: 'LangGraph JS, PostgresSaver',
  async open(databaseUrl, fresh) {
    const saver = PostgresSaver.fromConnString(databaseUrl)
    if (fresh) await saver.setup()
    const graph = new StateGraph(MessagesAnnotation)
      .addNode('model', model)
      .addNode('tools', new ToolNode([echo]))
      .addEdge(START, 'model')
      .addConditionalEdges('model', toolsCondition, ['tools', END])
      .addEdge('tools', 'model')
      .compile({ checkpointer: saver })
    const on = (thread: string) => ({ configurable: { thread_id: thread } })
    return {
      async fill(thread, messages) {
        if (messages === 0) return
        const history = Array.from({ length: messages }, (_, at) =>
          at % 2 === 0 ? new HumanMessage(earlier(at)) : new AIMessage(earlier(at)),
        )
        await graph.updateState(on(thread), { messages: history }, 'model')
      },
      async turn(thread) {
        const { messages } = await graph.invoke({ messages: [new HumanMessage('Hello')] }, on(thread))
        if (messages.at(-1)?.content !== 'done') throw new Error(`it ended with ${JSON.stringify(messages.at(-1))}`)
      },
      async count(thread) {
        const { values } = await graph.getState(on(thread))
        return (values as { messages?: unknown[] }).messages?.length ?? 0
      },
      close: () => saver.end(),
    }
  },
}
