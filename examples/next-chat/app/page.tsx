'use client'
import { useChat } from '@ai-sdk/react'
import { WorkflowChatTransport } from '@ai-sdk/workflow/client'
import { isToolUIPart, lastAssistantMessageIsCompleteWithApprovalResponses as answered, type UIMessage } from 'ai'
import { chatTransport } from 'baton-client'
import { useEffect, useState } from 'react'
import { Tool } from './tool'

const getToken = () => sessionStorage.getItem('token')
const headers = (): HeadersInit => {
  const token = getToken()
  return token === null ? {} : { authorization: `Bearer ${token}` }
}
const options = chatTransport({ template: process.env.NEXT_PUBLIC_BATON_TEMPLATE ?? 'basic', getToken })
// A stream that is resumed after an error begins at its beginning: without this its parts would be doubled.
const transport = Object.assign(new WorkflowChatTransport<UIMessage>(options), { resumeStreamIsReplay: true })

function Chat({ id, messages: loaded, state }: { id: string; messages: UIMessage[]; state: string }) {
  const [text, setText] = useState('')
  const resume = state === 'working'
  const chat = useChat({ id, messages: loaded, transport, resume, sendAutomaticallyWhen: answered })
  const send = () => {
    void chat.sendMessage({ text })
    setText('')
  }
  return (
    <main>
      {chat.messages.map((message) => (
        <article key={message.id} data-role={message.role}>
          {message.parts.map((part, at) => {
            if (part.type === 'text') return <p key={at}>{part.text}</p>
            return isToolUIPart(part) ? <Tool key={at} part={part} answer={chat.addToolApprovalResponse} /> : null
          })}
        </article>
      ))}
      {chat.error && (
        <p role="alert">
          {chat.error.message} <button onClick={() => void chat.resumeStream()}>Go on</button>
        </p>
      )}
      <textarea value={text} onChange={(event) => setText(event.target.value)} />
      <button onClick={send}>Send</button>
      <button onClick={() => void fetch(`/api/chat/${id}/stop`, { method: 'POST', headers: headers() })}>Stop</button>
    </main>
  )
}

/** What is stored of a chat. */
async function load(id: string): Promise<Parameters<typeof Chat>[0]> {
  const answer = await fetch(`/api/chat/${id}`, { headers: headers() })
  // Nobody has written in it yet. Whatever else is refused is no empty chat.
  if (answer.status === 404) return { id, messages: [], state: 'ready' }
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
  return { ...(await answer.json()), id }
}

/** The chat in the address: `#id`, a new one without. */
export default function Page() {
  const [chat, setChat] = useState<Parameters<typeof Chat>[0]>()
  const [problem, setProblem] = useState('')
  useEffect(() => {
    const id = location.hash.slice(1) || crypto.randomUUID()
    location.hash = id
    load(id).then(setChat, (error: Error) => setProblem(error.message))
  }, [])
  if (problem !== '') return <p role="alert">{problem}</p>
  return chat && <Chat {...chat} />
}
