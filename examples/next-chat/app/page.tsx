'use client'
import { useChat } from '@ai-sdk/react'
import { WorkflowChatTransport } from '@ai-sdk/workflow/client'
import { isToolUIPart, lastAssistantMessageIsCompleteWithApprovalResponses as answered, type UIMessage } from 'ai'
import { chatTransport } from 'baton-client'
import { useEffect, useState } from 'react'
import { Tool } from './tool'

const getToken = () => sessionStorage.getItem('token')
const headers = () => ({ authorization: `Bearer ${getToken() ?? ''}` })
const options = chatTransport({ template: 'assistant', getToken })
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

/** The chat in the address: `#id`, a new one without. */
export default function Page() {
  const [chat, setChat] = useState<Parameters<typeof Chat>[0]>()
  useEffect(() => {
    const id = location.hash.slice(1) || crypto.randomUUID()
    location.hash = id
    void fetch(`/api/chat/${id}`, { headers: headers() }).then(async (answer) => {
      const history = answer.ok ? await answer.json() : { messages: [], state: 'ready' }
      setChat({ ...history, id })
    })
  }, [])
  return chat && <Chat {...chat} />
}
